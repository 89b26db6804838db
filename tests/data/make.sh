#!/bin/sh
# Makes the sample recordings beside this file, or in the directory named: make.sh [directory].
# Needs Debian's ffmpeg and espeak-ng, nothing else and no network.
set -eu

out=${1:-$(dirname "$0")}
mkdir -p "$out"
speech=$(mktemp -d)
trap 'rm -rf "$speech"' EXIT

# -bitexact leaves out what changes from run to run (dates, encoder versions, Ogg's random serial);
# -cpuflags 0 leaves out the vector code, whose rounding differs between processors.
encode() {
    ffmpeg -hide_banner -loglevel error -nostdin -y -cpuflags 0 "$@"
}

say() {
    espeak-ng -v en-gb -s 165 -w "$speech/$1.wav" "$2"
}

# A phone's voice memo: AAC-LC, mono, in MP4 with the index in front, so that it plays while it loads.
say meeting "Notes from the meeting. We ship on Tuesday, and Ada brings the cake."
encode -i "$speech/meeting.wav" -map_metadata -1 -bitexact \
    -ac 1 -ar 44100 -c:a aac -b:a 48k -movflags +faststart "$out/meeting.m4a"

# A browser's or an Android phone's: Opus, mono, in Ogg.
say lecture "Lecture one. A promise that is kept only when nothing fails, is not a promise."
encode -i "$speech/lecture.wav" -map_metadata -1 -bitexact \
    -ac 1 -ar 48000 -c:a libopus -b:a 24k -application voip "$out/lecture.ogg"

# Five notes of half a second each, E E F G G, that fade like a plucked string: 16-bit PCM, mono.
semitones='if(lt(t,1), 4, if(lt(t,1.5), 5, 7))'
note="sin(2*PI*t*261.6256*pow(2, ($semitones)/12))"
encode -f lavfi -i "aevalsrc='0.5*$note*exp(-5*mod(t,0.5))':s=16000:d=2.5" -map_metadata -1 -bitexact \
    -c:a pcm_s16le "$out/song.wav"
