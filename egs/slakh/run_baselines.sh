#!/usr/bin/env bash
# Ours beside Asteroid's ConvTasNet and Open-Unmix, with stems and with scores, on the same data and
# for the same minutes: trains and scores what is missing, and prints the table.
#
#   bash run_baselines.sh --preset small --minutes 60     a night on two cores
#   bash run_baselines.sh --preset small --minutes 10     an hour
#   bash run_baselines.sh --minutes 0                     equal epochs instead: for a GPU
#
# Rows that are done are not trained again; a row that was killed goes on from its last checkpoint.

python=python
preset=small
# Minutes of training of a row, with one core for each lane; 0: as many epochs as the preset says.
minutes=60
# Slakh2100, to train and test on; empty to synthesize songs (those of run_tables.sh).
slakh_dir=
# Where the data and the experiments lie. Default: data/<preset>_tables and
# exp/<preset>_baselines_<minutes>min.
data_dir=
exp_dir=
# Where the numbers go. Default: baselines.csv of exp_dir.
results=
# Only rows that this regular expression finds.
rows=
seeds=1
lanes=0
n_jobs=
dry_run=false
train_opts=

set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$recipe/utils/parse_options.sh"
slakh_dir=$(absolute "$slakh_dir") results=$(absolute "$results")
data_dir=$(absolute "${data_dir:-$recipe/data/${preset}_tables}")
exp_dir=$(absolute "${exp_dir:-$recipe/exp/${preset}_baselines_${minutes}min}")
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

main=$data_dir/main
dry=()
if [ "$dry_run" = false ]; then
  songs=(--synthesize_opts "--seed 1 --synthetic 0 --varispeed 0")
  [ -z "$slakh_dir" ] || songs=(--slakh_dir "$slakh_dir" --stage 1)
  bash run.sh --python "$python" --preset "$preset" --data_dir "$main" --n_jobs "$n_jobs" \
    "${songs[@]}" --stop_stage 1
else
  dry=(--dry_run)
fi
"$python" ladder.py --preset "$preset" --train_data "$main/prepared" --tests "test=$main/prepared:test" \
  --exp_dir "$exp_dir" --groups baselines --rows "$rows" --seeds "$seeds" --lanes "$lanes" \
  --minutes "$minutes" --train_opts "$train_opts" ${dry[@]+"${dry[@]}"}
[ "$dry_run" = true ] || "$python" baselines.py "$exp_dir" ${results:+--results "$results"}
