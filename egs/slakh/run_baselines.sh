#!/usr/bin/env bash
# Compares our separator with Asteroid's ConvTasNet and Open-Unmix, trained with stems and with
# scores, on the same data and for the same time: trains and scores the missing rows, and prints the
# table.
#
#   bash run_baselines.sh --preset small --minutes 60     a night on two cores
#   bash run_baselines.sh --preset small --minutes 10     an hour
#   bash run_baselines.sh --minutes 0                     equal epochs instead: for a GPU
#
# Finished rows are not trained again; an interrupted row resumes from its last checkpoint. Any
# separator that writes stems to a folder can have a row; README.md has commands of some:
#
#   bash run_baselines.sh --external "Demucs=demucs -n htdemucs_6s -o {output} {input}"

python=python
preset=small
# Minutes of training per row, with one core for each parallel row; 0: the epochs of the preset.
minutes=60
# Slakh2100, for training and test; empty to synthesize songs (those of run_tables.sh).
slakh_dir=
# Folders of the data and the experiments. Default: data/<preset>_tables and
# exp/<preset>_baselines_<minutes>min.
data_dir=
exp_dir=
# File for the results. Default: baselines.csv in exp_dir.
results=
# Only rows that match this regular expression.
rows=
seeds=1
# Rows in parallel; 0: as many as there are GPUs or cores.
n_parallel=0
n_jobs=
# Rows of other separators, one a line: NAME=COMMAND, with {input} for the file of a song and {output}
# for the folder of its stems.
external=
# Where their files are not named like the classes, one a line: NAME:class=file,file;class=file.
external_stems=
# Seconds that they may take per song.
external_timeout=3600
dry_run=false
train_opts=

. "$(dirname "${BASH_SOURCE[0]}")/utils/shared.sh"
data_dir=${data_dir:-$recipe/data/${preset}_tables}
exp_dir=${exp_dir:-$recipe/exp/${preset}_baselines_${minutes}min}
one_of dry_run "$dry_run" true false
whole_number seeds "$seeds" 1 1000
whole_number n_parallel "$n_parallel" 0 1024
check_settings > /dev/null || exit 2
whole_number external_timeout "$external_timeout" 1 1000000
if [ -n "$external" ]; then  # before hours of training
  "$python" -c 'import sys
from asteroid_scoresup.evaluation import parse_external
try:
    parse_external(*(text.splitlines() for text in sys.argv[1:]))
except ValueError as error:
    sys.exit(f"run_baselines.sh: {error}")' "$external" "$external_stems" || exit 2
fi

main=$data_dir/main
dry=()
if [ "$dry_run" = false ]; then
  songs=()
  [ -z "$slakh_dir" ] || songs=(--slakh_dir "$slakh_dir" --stage 1)
  bash run.sh --python "$python" --preset "$preset" --data_dir "$main" --n_jobs "$n_jobs" \
    ${songs[@]+"${songs[@]}"} --stop_stage 1
else
  dry=(--dry_run)
fi
"$python" experiments.py --preset "$preset" --train_data "$main/prepared" --tests "test=$main/prepared:test" \
  --exp_dir "$exp_dir" --groups baselines --rows="$rows" --seeds "$seeds" --n_parallel "$n_parallel" \
  --minutes "$minutes" --train_opts="$train_opts" --external="$external" \
  --external_stems="$external_stems" --external_timeout "$external_timeout" ${dry[@]+"${dry[@]}"}
[ "$dry_run" = true ] || "$python" baselines.py "$exp_dir" ${results:+--results="$results"}
