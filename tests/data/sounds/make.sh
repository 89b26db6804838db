#!/bin/sh
# Makes a recording of every kind that recorders make, beside this file: make.sh [directory].
# Needs Debian's ffmpeg with libavcodec-extra, which has the AMR encoders; no network.
set -eu

out=${1:-$(dirname "$0")}
mkdir -p "$out"

# As ../make.sh explains: the same bytes every time.
encode() {
    ffmpeg -hide_banner -loglevel error -nostdin -y -cpuflags 0 "$@"
}

# Two seconds of notes that fade, the second louder: whatever is cut off or upside down shows.
note='(0.25+0.5*gte(t,1))*sin(2*PI*(330+220*gte(t,1))*t)*exp(-3*mod(t,1))'
make() { # rate, layout, expressions for its channels, then what encodes it
    rate=$1 layout=$2 channels=$3
    shift 3
    encode -f lavfi -i "aevalsrc='$channels':s=$rate:c=$layout:d=2" -map_metadata -1 -bitexact "$@"
}
mono() { # rate, then what encodes it
    rate=$1
    shift
    make "$rate" mono "$note" "$@"
}
eight="$note|0|0|0|0|0|0|-($note)*0.5"

mono 44100 -c:a aac -b:a 32k "$out/moov-last.m4a"
mono 44100 -c:a aac -b:a 32k -movflags +faststart "$out/moov-first.m4a"
mono 44100 -c:a aac -b:a 32k -movflags +frag_keyframe+empty_moov+default_base_moof \
    -frag_duration 500000 "$out/fragmented.mp4"
mono 44100 -c:a aac -b:a 32k -f mov "$out/quicktime.mov"
mono 44100 -c:a aac -b:a 32k -f adts "$out/adts.aac"
make 44100 stereo "$note|0.5*($note)" -c:a libmp3lame -b:a 32k "$out/constant.mp3"
mono 44100 -c:a libmp3lame -q:a 7 -write_xing 0 -id3v2_version 0 "$out/variable-headless.mp3"
make 44100 stereo "$note|0.5*($note)" -c:a libvorbis -q:a 0 "$out/vorbis.ogg"
mono 48000 -c:a libopus -b:a 12k "$out/opus.ogg"
# As MediaRecorder writes it with a timeslice: no duration, no index, sizes unknown.
mono 48000 -c:a libopus -b:a 12k -f webm -live 1 "$out/media-recorder.webm"
mono 8000 -c:a pcm_s16le "$out/pcm.wav"
make 8000 stereo "$note|0.5*($note)" -c:a pcm_s16le "$out/stereo.wav"
mono 8000 -c:a pcm_mulaw "$out/mulaw.wav"
mono 8000 -c:a adpcm_ima_wav "$out/adpcm.wav"
mono 8000 -c:a flac "$out/flac.flac"
make 192000 7.1 "$eight" -t 0.1 -c:a flac "$out/eight-channels.flac"
mono 8000 -c:a libopencore_amrnb -b:a 4.75k "$out/narrow.amr"
mono 16000 -c:a libvo_amrwbenc -b:a 6.6k "$out/wide.amr"
mono 8000 -c:a libopencore_amrnb -b:a 4.75k -f 3gp "$out/narrow.3gp"
mono 8000 -c:a alac "$out/alac.m4a"
mono 8000 -c:a pcm_s16be "$out/pcm.caf"
mono 8000 -c:a pcm_s16be "$out/pcm.aiff"
# What a recorder that died leaves of its lengths: nothing, or as much as there can be.
for length in zero:000000000000 most:377377377377; do
    name=${length%%:*} octal=${length#*:}
    bytes=$(printf '%s' "$octal" | sed 's/.\{3\}/\\&/g')
    { head -c 4 "$out/pcm.wav"; printf "$bytes"; tail -c +9 "$out/pcm.wav" | head -c 32
      printf "$bytes"; tail -c +45 "$out/pcm.wav"; } > "$out/length-$name.wav"
done

# What is none: a picture, and a film without sound.
encode -f lavfi -i testsrc=d=1:s=64x64:r=1 -frames:v 1 -bitexact "$out/picture.png"
encode -f lavfi -i testsrc=d=1:s=64x64:r=5 -bitexact -c:v mpeg4 "$out/silent-film.mp4"

# What ffprobe says of each.
{
    echo '{'
    separator=''
    for file in "$out"/*.*; do
        case $file in *.sh | *.json) continue ;; esac
        printf '%s  "%s": ' "$separator" "$(basename "$file")"
        ffprobe -v error -select_streams a:0 -of json=compact=1 \
            -show_entries stream=codec_name,sample_rate,channels:format=duration "$file" |
            tr -d '\n' | tr -s ' '
        separator=',
'
    done
    printf '\n}\n'
} > "$out/ffprobe.json"
