#!/usr/bin/env bash
# Trains and scores every row of the tables, and prints them: docs/experiments.md.
#
#   bash run_tables.sh --preset small                     all rows, three seeds
#   bash run_tables.sh --preset small --dry_run true      what is missing, and how long it takes
#   bash run_tables.sh --slakh_dir /data/slakh2100_flac_redux --preset paper
#
# Rows that are done are not trained again; a row that was killed goes on from its last checkpoint.

python=python
preset=small
# Slakh2100, to train and test on; empty to synthesize songs.
slakh_dir=
# A SoundFont that is not trained on, for the songs of Freedoom.
soundfont=/usr/share/sounds/sf2/FluidR3_GM.sf2
# Where the data and the experiments lie. Default: data/<preset>_tables and exp/<preset>_tables.
data_dir=
exp_dir=
# Where the numbers go. Default: results.csv of exp_dir.
results=
# A file of results, such as results/small.csv: its rows and seeds are printed and not trained again.
keep=
# Groups of rows in local/ladder.yml, how many seeds, and rows side by side (default: the cores).
groups=paper,ours,curve
# Only rows that this regular expression finds, and what they start from.
rows=
seeds=3
lanes=0
n_jobs=
dry_run=false
# Further settings of local/conf.yml for all training scripts.
train_opts=

set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$recipe/utils/parse_options.sh"
slakh_dir=$(absolute "$slakh_dir") results=$(absolute "$results") keep=$(absolute "$keep")
data_dir=$(absolute "${data_dir:-$recipe/data/${preset}_tables}")
exp_dir=$(absolute "${exp_dir:-$recipe/exp/${preset}_tables}")
case "$python" in */*) python=$(absolute "$python") ;; esac
cd "$recipe"
one_of preset "$preset" mini box small paper
one_of dry_run "$dry_run" true false
whole_number seeds "$seeds" 1 1000
whole_number lanes "$lanes" 0 1024
[ -z "$n_jobs" ] || whole_number n_jobs "$n_jobs" 1 4096
[ -z "$slakh_dir" ] || [ -d "$slakh_dir" ] || bad_option "--slakh_dir $slakh_dir is no folder."
command -v "$python" > /dev/null || bad_option "--python '$python' is no program that can be run."
"$python" local/options.py --preset "$preset" --given="$train_opts" || exit 2
jobs=(); [ -z "$n_jobs" ] || jobs=(--jobs "$n_jobs")
cli=("$python" -m asteroid_scoresup.scripts.cli)

main=$data_dir/main
tests=test=$main/prepared:test
if [ "$dry_run" = false ]; then
  if [ -n "$slakh_dir" ]; then
    bash run.sh --python "$python" --preset "$preset" --slakh_dir "$slakh_dir" --data_dir "$main" \
      --n_jobs "$n_jobs" --stage 1 --stop_stage 1
  else
    # Seed 1: songs that no other preset has seen. Rows are compared on timbres that are learned in
    # some minutes; variety pays where training is longer (docs/experiments.md).
    bash run.sh --python "$python" --preset "$preset" --data_dir "$main" --n_jobs "$n_jobs" \
      --synthesize_opts "--seed 1 --synthetic 0 --varispeed 0" --stop_stage 1
  fi
fi

render() { # name, further options: renders the MIDI files of a test set and prepares them
  "${cli[@]}" synthesize "$data_dir/$1/slakh" --midi_dir "$data_dir/$1/midi" --fractions 0 0 1 \
    --seed 1 --sample_rate 16000 ${jobs[@]+"${jobs[@]}"} "${@:2}"
  "${cli[@]}" prepare "$data_dir/$1/slakh" "$data_dir/$1/prepared" --mixture submix \
    ${jobs[@]+"${jobs[@]}"}
}

if [ -z "$slakh_dir" ]; then
  tests+=,test_unseen=$main/prepared:test_unseen
  if command -v mma > /dev/null; then
    tests+=,mma=$data_dir/mma/prepared:test
    if [ "$dry_run" = false ]; then
      "$python" local/mma_songs.py "$data_dir/mma/midi" --n_songs 16
      render mma --max_seconds 30
    fi
  else
    echo "Without the test set mma: mma is not installed (Debian: apt install mma)."
  fi
  if [ -e /usr/share/games/doom/freedoom1.wad ] && [ -e "$soundfont" ]; then
    tests+=,freedoom=$data_dir/freedoom/prepared:test
    if [ "$dry_run" = false ]; then
      "$python" local/freedoom_songs.py "$data_dir/freedoom/midi"
      render freedoom --max_seconds 40 --soundfont "$soundfont"
    fi
  else
    echo "Without the test set freedoom: it needs Debian's freedoom and $soundfont (Debian:" \
      "apt install freedoom fluid-soundfont-gm)."
  fi
fi

options=(--preset "$preset" --train_data "$main/prepared" --tests "$tests" --exp_dir "$exp_dir")
options+=(--results "$results" --keep "$keep" --groups "$groups" --rows "$rows")
options+=(--seeds "$seeds" --lanes "$lanes")
[ "$dry_run" = false ] || options+=(--dry_run)
"$python" ladder.py "${options[@]}" --train_opts "$train_opts"
