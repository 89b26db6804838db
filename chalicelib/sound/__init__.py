"""What is found out of the bytes themselves, by FFmpeg's libraries, in a process of its own."""
