"""What stands beside the app on AWS, and the commands of whoever runs it. Never packaged."""
