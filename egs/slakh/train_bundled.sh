#!/usr/bin/env bash
# Makes a model to give away: songs from SoundFonts with free licenses, training, scores on songs of
# other SoundFonts and other writers, and the packed model with its card.
#
#   bash train_bundled.sh                        for as long as the preset says
#   bash train_bundled.sh --minutes 8            within 8 minutes, on a GPU
#   bash train_bundled.sh --dry_run true         checks the options and prints the commands
#
# The same command again resumes an interrupted run, and skips what is done.

python=python
# Sizes and budgets (local/presets.yml).
preset=band
# Name of the experiment, whose folder is exp/slakh_<tag>.
tag=bundled
# Minutes for everything together, as for run.sh; empty for no limit.
minutes=
seed=0
n_jobs=
# Folders of the data and the experiments. Default: data/bundled and exp next to this script.
data_dir=
exp_root=
# Model file to write, without suffix. Default: band in the folder of the experiment.
out=
# plain or produced, see `asteroid-scoresup synthesize --help`; for training and development.
mixing=produced
# More SoundFonts for training, besides those of the preset: names that `python local/soundfonts.py`
# lists as free for training, separated by blanks.
soundfonts=
classes="bass=32-39;drums=drums;guitar=24-31;piano=0-7"
# Songs of the development set `mma`, which is made if MMA is installed. Its songs are by another
# writer than the training songs, and played by a SoundFont that is not used in training.
n_mma=16
# License of the weights, for the card, such as cc-by-4.0.
license=
# Last section of the card.
limits=local/bundled_limits.md
# As for run.sh.
loss=
transcriptor=
start=
# More options of `asteroid-scoresup synthesize` for the training songs, and of the training scripts.
synthesize_opts=
train_opts=
dry_run=false

. "$(dirname "${BASH_SOURCE[0]}")/utils/shared.sh"
one_of dry_run "$dry_run" true false
one_of mixing "$mixing" plain produced
whole_number seed "$seed" 0 4294967295
whole_number n_mma "$n_mma" 1 1000
[ -z "$minutes" ] || [[ $minutes =~ ^[0-9]{1,5}(\.[0-9]{1,4})?$ ]] \
  || bad_option "--minutes is a number of minutes such as 8, found '$minutes'."
case "$tag" in
  ""|*/*|.|..) bad_option "--tag is the name of a folder, found '$tag'." ;;
esac
case "$out" in ""|/*) ;; *) out=$caller/$out ;; esac
case "$limits" in local/*|/*) ;; *) limits=$caller/$limits ;; esac
file_exists limits "$limits"
data_dir=${data_dir:-$recipe/data/bundled}
exp_root=${exp_root:-$recipe/exp}
exp=$exp_root/slakh_$tag
out=${out:-$exp/band}
# Ends with a message if one of them is not installed, or not free.
fonts=$("$python" -m local.soundfonts --training "$preset" $soundfonts) || exit 2
songs=--mixing\ $mixing
for font in $soundfonts; do songs+=" --soundfont $font"; done
[ -z "$synthesize_opts" ] || songs+=" $synthesize_opts"
case "$loss" in /*|"") ;; */*|*.yml) loss=$caller/$loss ;; esac
starting_point
check_settings --classes="$classes" --synthesize_opts="$songs" --loss="$loss" \
  --transcriptor="$transcriptor" --start="$start" > /dev/null || exit 2
split_words train_opts "$train_opts"; train_options=(${words[@]+"${words[@]}"})

began=$(date +%s)
# Minutes that are left, times a factor.
left() {
  LC_ALL=C awk -v m="$minutes" -v t=$(($(date +%s) - began)) -v f="$1" \
    'BEGIN { r = f * (m - t / 60); print (r > 0.1 ? r : 0.1) }'
}
do_run() {
  if [ "$dry_run" = true ]; then printf '%q ' "$@"; echo; else "$@"; fi
}

# Development sets, fixed before anything is trained. Choices are made by their scores alone.
tests=composed=$data_dir/prepared:validation
if command -v mma > /dev/null; then
  tests+=,mma=$data_dir/mma/prepared:test
  if [ ! -d "$data_dir/mma/midi" ]; then
    do_run rm -rf "$data_dir/mma/midi.part" # of an interrupted run
    do_run "$python" local/mma_songs.py "$data_dir/mma/midi.part" --n_songs "$n_mma"
    do_run mv "$data_dir/mma/midi.part" "$data_dir/mma/midi"
  fi
  do_run "$python" -m asteroid_scoresup.scripts.cli synthesize "$data_dir/mma/slakh" \
    --midi_dir "$data_dir/mma/midi" --fractions 0 0 1 --max_seconds 30 --seed 1 \
    --sample_rate 16000 --soundfont TimGM6mb --mixing "$mixing" ${jobs[@]+"${jobs[@]}"}
  do_run "$python" -m asteroid_scoresup.scripts.cli prepare "$data_dir/mma/slakh" \
    "$data_dir/mma/prepared" --mixture song --classes "$classes" ${jobs[@]+"${jobs[@]}"}
else
  echo "Skipping the development set mma: mma is not installed (Debian: apt install mma)."
fi

limit=(); [ -z "$minutes" ] || limit=(--minutes "$(left 0.9)")
do_run bash run.sh --python "$python" --preset "$preset" --tag "$tag" --seed "$seed" \
  --n_jobs "$n_jobs" --data_dir "$data_dir" --exp_root "$exp_root" --mixture song \
  --classes "$classes" --synthesize_opts "$songs" --train_opts "$train_opts" \
  --loss "$loss" --transcriptor "$transcriptor" --start "$start" \
  ${limit[@]+"${limit[@]}"}

limit=(); [ -z "$minutes" ] || limit=(--eval_minutes "$(left 0.9)")
model=$exp/finetune/best_model.pth
[ -e "$model" ] || [ "$dry_run" = true ] || model=$exp/separator/best_model.pth
echo; echo "Scores on the development sets: $exp/development/scores.csv"
do_run "$python" score.py --exp_dir "$exp/development" --row "$tag" --separator "$model" \
  --tests "$tests" --preset "$preset" --data_dir "$data_dir/prepared" --seed "$seed" \
  ${train_options[@]+"${train_options[@]}"} ${limit[@]+"${limit[@]}"}

command="bash train_bundled.sh --preset $preset --mixing $mixing --seed $seed"
[ -z "$minutes" ] || command+=" --minutes $minutes"
[ -z "$loss" ] || command+=" --loss $loss"
[ -z "$transcriptor" ] || command+=" --transcriptor $transcriptor"
[ -z "$start" ] || command+=" --start $(basename "$start")"
[ -z "$soundfonts" ] || command+=" --soundfonts '$soundfonts'"
[ -z "$synthesize_opts" ] || command+=" --synthesize_opts '$synthesize_opts'"
[ -z "$train_opts" ] || command+=" --train_opts '$train_opts'"
text="They have bass, guitar and piano with drums and up to two other instruments; mixing: $mixing."
text+=" Half of the training stems of bass, guitar and piano are rendered with synthetic instruments,"
text+=" everything else with the SoundFonts $fonts"
do_run "$python" pack_model.py --exp_dir "$exp" --out "$out" --command "$command" --data "$text" \
  --commit "$(git rev-parse --short HEAD 2> /dev/null || echo unknown)" \
  --limits "$limits" ${license:+--license "$license"}
