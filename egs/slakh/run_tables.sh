#!/usr/bin/env bash
# Trains and scores every row of the tables, and prints them: docs/experiments.md.
#
#   bash run_tables.sh --preset small                     all rows, three seeds
#   bash run_tables.sh --preset long --seeds 1            where rows end: 40,500 updates each
#   bash run_tables.sh --preset small --dry_run true      what is missing, and how long it will take
#   bash run_tables.sh --slakh_dir /data/slakh2100_flac_redux --preset paper
#
# Finished rows are not trained again; an interrupted row resumes from its last checkpoint.

python=python
preset=small
# Slakh2100, for training and test; empty to synthesize songs.
slakh_dir=
# A SoundFont for the songs of Freedoom, not used in training.
soundfont=/usr/share/sounds/sf2/FluidR3_GM.sf2
# Folders of the data and the experiments. Default: data/<preset>_tables and exp/<preset>_tables.
data_dir=
exp_dir=
# File for the results. Default: results.csv in exp_dir.
results=
# A file of results, such as results/small.csv, whose rows and seeds are printed without being
# trained again.
keep=
# Groups of rows in local/experiments.yml.
groups=paper,ours,curve
# Only rows that match this regular expression, and what they start from.
rows=
seeds=3
# Rows in parallel; 0: as many as there are GPUs or cores.
n_parallel=0
n_jobs=
dry_run=false
# Minutes for everything together, as for run.sh; empty for no limit. The data then have as many
# songs as there is time for, without the test sets mma and freedoom, and all trainings share the
# rest: choose few --rows.
minutes=
# More settings of local/conf.yml for all training scripts.
train_opts=

. "$(dirname "${BASH_SOURCE[0]}")/utils/shared.sh"
data_dir=${data_dir:-$recipe/data/${preset}_tables}
exp_dir=${exp_dir:-$recipe/exp/${preset}_tables}
one_of dry_run "$dry_run" true false
[ -z "$minutes" ] || [[ $minutes =~ ^[0-9]{1,5}(\.[0-9]{1,4})?$ ]] \
  || bad_option "--minutes is a number of minutes such as 9, found '$minutes'."
began=$(date +%s)
whole_number seeds "$seeds" 1 1000
whole_number n_parallel "$n_parallel" 0 1024
check_settings > /dev/null || exit 2
cli=("$python" -m asteroid_scoresup.scripts.cli)

main=$data_dir/main
tests=test=$main/prepared:test
if [ "$dry_run" = false ]; then
  if [ -n "$slakh_dir" ]; then
    bash run.sh --python "$python" --preset "$preset" --slakh_dir "$slakh_dir" --data_dir "$main" \
      --n_jobs "$n_jobs" --minutes "$minutes" --stage 1 --stop_stage 1
  else
    bash run.sh --python "$python" --preset "$preset" --data_dir "$main" --n_jobs "$n_jobs" \
      --minutes "$minutes" --stop_stage 1
  fi
fi

render() { # name, more options: renders the MIDI files of a test set and prepares them
  "${cli[@]}" synthesize "$data_dir/$1/slakh" --midi_dir "$data_dir/$1/midi" --fractions 0 0 1 \
    --seed 1 --sample_rate 16000 ${jobs[@]+"${jobs[@]}"} "${@:2}"
  "${cli[@]}" prepare "$data_dir/$1/slakh" "$data_dir/$1/prepared" --mixture submix \
    ${jobs[@]+"${jobs[@]}"}
}

if [ -z "$slakh_dir" ]; then
  tests+=,test_unseen=$main/prepared:test_unseen
fi
if [ -z "$slakh_dir$minutes" ]; then
  if command -v mma > /dev/null; then
    tests+=,mma=$data_dir/mma/prepared:test
    if [ "$dry_run" = false ]; then
      "$python" local/mma_songs.py "$data_dir/mma/midi" --n_songs 16
      render mma --max_seconds 30
    fi
  else
    echo "Skipping the test set mma: mma is not installed (Debian: apt install mma)."
  fi
  if [ -e /usr/share/games/doom/freedoom1.wad ] && [ -e "$soundfont" ]; then
    tests+=,freedoom=$data_dir/freedoom/prepared:test
    if [ "$dry_run" = false ]; then
      "$python" local/freedoom_songs.py "$data_dir/freedoom/midi"
      render freedoom --max_seconds 40 --soundfont "$soundfont"
    fi
  else
    echo "Skipping the test set freedoom: it needs Debian's freedoom and $soundfont (Debian:" \
      "apt install freedoom fluid-soundfont-gm)."
  fi
fi

options=(--preset "$preset" --train_data "$main/prepared" --tests "$tests" --exp_dir "$exp_dir")
# With "=", since a value may begin with a dash.
options+=(--results="$results" --keep="$keep" --groups="$groups" --rows="$rows")
options+=(--seeds "$seeds" --n_parallel "$n_parallel")
[ "$dry_run" = false ] || options+=(--dry_run)
if [ -n "$minutes" ]; then # at least a second, which is refused by the number of rows
  options+=(--total_minutes "$(LC_ALL=C awk -v m="$minutes" -v t=$(($(date +%s) - began)) \
    'BEGIN { print (m - t / 60 > 0.02 ? m - t / 60 : 0.02) }')")
fi
"$python" experiments.py "${options[@]}" --train_opts="$train_opts"
