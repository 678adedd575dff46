#!/usr/bin/env bash
# Trains a separator from recordings and scores, as in "Transcription Is All You Need"
# (Hung, Wichern, Le Roux 2021), and evaluates it.
#
#   bash run.sh --preset mini                          on songs that stage 0 synthesizes
#   bash run.sh --slakh_dir /data/slakh2100_flac_redux --preset paper
#   bash run.sh --slakh_dir /data/my_songs             a folder of audio + MIDI pairs
#   bash run.sh --tag mine --stage separator           with the transcriptor of exp/slakh_mine
#
# The same command again resumes an interrupted run, and skips what is done.

# Stages by number or name: 0 synthesize, 1 prepare, 2 transcriptor, 3 separator, 4 finetune,
# 5 evaluate.
stage=0
stop_stage=5
# Name of the experiment, whose folder is exp/slakh_<tag>. Default: made from the options below.
tag=
# CUDA device, for example 0; empty for the first one.
id=
python=python

# Data: a Slakh folder or a folder of (audio, MIDI) pairs; empty to synthesize (stage 0).
slakh_dir=
# Where stage 0 and stage 1 write. Default: data/<preset>_<name of the data>.
data_dir=
# For stage 0: a folder of MIDI files instead of the composer of the recipe.
midi_dir=
# For stage 1: a slakh-utils JSON file with the splits; empty to split by folder.
splits=
# Classes, as name=GM programs,inst_class;...  Default: bass, guitar, piano.
classes=
# submix (sum of the classes, the paper's setting) or song (everything).
mixture=submix
n_jobs=
# More options of `asteroid-scoresup synthesize` and `prepare`, for example "--correct"; words with
# blanks in quotes: "--soundfont '/my fonts/piano.sf2'".
synthesize_opts=
prepare_opts=
# Folder of the experiments. Default: exp next to this script.
exp_root=

# Sizes and budgets: mini, bundled, band, small, long or paper (local/presets.yml).
preset=mini
# Supervision of the separator: score, activity (the weak baseline), stems (the upper bound), or semi
# (stems for some songs, scores for the others: --train_opts "--stem_fraction 0.1").
supervision=score
# Loss of steps 2 and 3: the name of a file in local/losses, for example clip+harmonic (the paper's),
# or the path of a .yml file. Default: clip+informed (ours); with --supervision activity, stems or
# semi: frame, stems or semi.
loss=
# Adversarial losses of step 3: none, aml, atl or aml+atl.
adversarial=none
# Whether step 3 also trains the transcriptor on the notes that are audible in the estimates (ours).
adapt_critic=false
# A transcriptor to use instead of training one in stage 2; or none, to train it in stage 3 together
# with the separator: --loss informed+notes --train_opts "--model pitch".
transcriptor=
# A trained separator that step 2 starts from, of the same classes and STFT: a model file, or the name
# of a bundled model, such as band_drums (with --train_opts "--model pitch").
start=
seed=0
# Minutes for all stages together; empty for no limit. Then stage 0 makes as many songs as a trial
# says there is time for, a trial of each step divides the rest among the trainings, whose schedules
# are as long as they are, and stage 5 scores as many songs as it can. On a GPU, for example 9.
minutes=
# More settings of local/conf.yml for all training scripts, for example "--s_epochs 20 --clip 1".
train_opts=

. "$(dirname "${BASH_SOURCE[0]}")/utils/shared.sh"

# Checked before anything is done.
stage_number stage "$stage"
stage_number stop_stage "$stop_stage"
[ "$stage" -le "$stop_stage" ] \
  || bad_option "--stage $stage is above --stop_stage $stop_stage: nothing would be done."
whole_number seed "$seed" 0 4294967295
one_of mixture "$mixture" submix song
one_of supervision "$supervision" score activity stems semi
one_of adversarial "$adversarial" none aml atl aml+atl
one_of adapt_critic "$adapt_critic" true false
step_3=""
[ "$adversarial" = none ] || step_3="--adversarial $adversarial"
[ "$adapt_critic" = false ] || step_3="--adapt_critic true"
[ "$supervision" = score ] || [ -z "$step_3" ] \
  || bad_option "$step_3 is for step 3, which --supervision $supervision does not have."
case "$id" in
  "") ;;
  GPU-*|MIG-*) export CUDA_VISIBLE_DEVICES="$id" ;;
  *[!0-9,]*|,*|*,|*,,*) bad_option "--id is numbers of CUDA devices such as 0 or 0,1, found '$id'." ;;
  *) export CUDA_VISIBLE_DEVICES="$id" ;;
esac
[ -z "$minutes" ] || [[ $minutes =~ ^[0-9]{1,5}(\.[0-9]{1,4})?$ ]] \
  || bad_option "--minutes is a number of minutes such as 9, found '$minutes'."
case "$tag" in
  */*|.|..) bad_option "--tag is the name of a folder, found '$tag'." ;;
esac
[ ${#tag} -le 200 ] || bad_option "--tag has ${#tag} characters; use at most 200."
folder_exists midi_dir "$midi_dir"
[ -z "$slakh_dir" ] || [ -z "$midi_dir$synthesize_opts" ] \
  || bad_option "--midi_dir and --synthesize_opts are for stage 0, which --slakh_dir replaces."
file_exists splits "$splits"
[ "$transcriptor" = none ] || file_exists transcriptor "$transcriptor"
starting_point
for folder in "$data_dir" "$exp_root"; do
  [ -z "$folder" ] || [ ! -e "$folder" ] || [ -d "$folder" ] \
    || bad_option "$folder is a file, expected a folder."
done
case "$loss" in /*|"") ;; */*|*.yml) loss=$caller/$loss ;; esac
songs=$(check_settings --loss="$loss" --supervision "$supervision" \
  --stages "$stage" "$stop_stage" --adversarial "$adversarial" --classes="$classes" \
  --transcriptor="$transcriptor" --start="$start" --prepare_opts="$prepare_opts" --synthesize_opts="$synthesize_opts" --midi_dir="$midi_dir") || exit 2

split_words train_opts "$train_opts"; train_options=(${words[@]+"${words[@]}"})
split_words synthesize_opts "$synthesize_opts"; synthesize_options=(${words[@]+"${words[@]}"})
split_words prepare_opts "$prepare_opts"; prepare_options=(${words[@]+"${words[@]}"})
loss_options=(); [ -z "$loss" ] || loss_options=(--loss "$loss")
# For names of rows and folders.
case "$supervision" in
  score) loss_name=clip+informed ;;
  activity) loss_name=frame ;;
  *) loss_name=$supervision ;;
esac
[ -z "$loss" ] || loss_name=$(basename "$loss" .yml)
tuning=$adversarial
[ "$adapt_critic" = false ] || tuning=${adversarial}_adapted
source=$(basename "${slakh_dir:-${midi_dir:-composed}}")
data_dir=${data_dir:-$recipe/data/${preset}_$source}
tag=${tag:-${preset}_${source}_${supervision}_${loss_name}_${tuning}_seed${seed}}
exp=${exp_root:-exp}/slakh_$tag
prepared=$data_dir/prepared
labels=notes
[ "$supervision" != activity ] || labels=activity
critic=${transcriptor:-$exp/transcriptor/best_model.pth}
transcriptor=$critic
[ "$critic" != none ] || transcriptor=$exp/separator/best_transcriptor.pth
common=(--preset "$preset" --data_dir "$prepared" --seed "$seed")

began=$(date +%s)
# Seconds that are left of --minutes, less those given.
left() { LC_ALL=C awk -v m="$minutes" -v t=$(($(date +%s) - began)) -v r="${1:-0}" 'BEGIN { print 60 * m - t - r }'; }

need() { # file, stage that makes it
  [ -e "$1" ] && return 0
  echo "Stage $now needs $1, which stage $2 makes: run with --stage ${stages[$2]}." >&2
  exit 1
}
need_prepared() { # a prepared folder, or shards of one
  [ -e "$prepared/shards.json" ] || need "$prepared/manifest.json" 1
}
run_stage() { # number, title, what it reads, what it writes; then the command
  now=$1
  echo; echo "Stage $1: $2"; echo "  reads  $3"; echo "  writes $4"
  SECONDS=0
}
# Runs a command so that a signal to this script alone ends the command too.
run_python() {
  # Background commands ignore Ctrl-C by default.
  (trap - INT; exec "$python" "$@") &
  child=$!
  wait "$child" || stop_stage_with $?
  child=
}
stop_stage_with() {
  child=
  exit "$1"
}
forward() { # signal, exit code
  trap '' INT TERM
  if [ -n "$child" ]; then
    kill -s "$1" "$child" 2> /dev/null || true
    wait "$child" || true
  fi
  exit "$2"
}
child=
trap 'forward INT 130' INT
trap 'forward TERM 143' TERM
end_stage() { printf '  stage %s took %d min %02d s\n' "$now" $((SECONDS / 60)) $((SECONDS % 60)); }
runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

synthesize() { # options: what stage 0 makes
  run_python -m asteroid_scoresup.scripts.cli synthesize "$data_dir/slakh" "$@" \
    --sample_rate 16000 ${jobs[@]+"${jobs[@]}"} \
    ${synthesize_options[@]+"${synthesize_options[@]}"}
}
prepare() { # what stage 1 does
  local options=(--mixture "$mixture")
  [ -z "$classes" ] || options+=(--classes "$classes")
  [ -z "$splits" ] || options+=(--splits "$splits")
  run_python -m asteroid_scoresup.scripts.cli prepare "${slakh_dir:-$data_dir/slakh}" "$prepared" \
    "${options[@]}" ${jobs[@]+"${jobs[@]}"} \
    ${prepare_options[@]+"${prepare_options[@]}"}
}
# Makes a few songs, and sets `songs` to as many as a quarter of --minutes suffices for.
count_songs() {
  local chosen=$data_dir/songs.txt trial start cores
  if [ ! -e "$chosen" ]; then
    cores=${n_jobs:-$(getconf _NPROCESSORS_ONLN)}
    trial=$("$python" -m local.minutes songs --preset "$preset" --jobs "$cores")
    start=$(date +%s)
    synthesize $trial
    prepare
    "$python" -m local.minutes songs --preset "$preset" --jobs "$cores" \
      --spent $(($(date +%s) - start + 1)) --minutes "$minutes" > "$chosen.part"
    mv "$chosen.part" "$chosen"
  fi
  songs=($(cat "$chosen"))
}

if runs 0 && [ -z "$slakh_dir" ]; then
  run_stage 0 "synthesize songs in Slakh's format" "${midi_dir:-the composer of the recipe}" "$data_dir/slakh"
  if [ -n "$midi_dir" ]; then
    songs=(--midi_dir "$midi_dir")
  elif [ -n "$minutes" ]; then
    count_songs
  else
    songs=($songs)
  fi
  synthesize "${songs[@]}"
  end_stage
fi

if runs 1; then
  run_stage 1 "prepare" "${slakh_dir:-$data_dir/slakh}" "$prepared"
  [ -n "$slakh_dir" ] || need "$data_dir/slakh" 0
  prepare
  end_stage
fi

if [ -n "$minutes" ] && [ "$stage" -le 4 ] && [ "$stop_stage" -ge 2 ]; then
  now=2
  need_prepared
  echo; echo "Planning: a trial of each step"
  steps=
  if runs 2 && [ "$critic" = "$exp/transcriptor/best_model.pth" ]; then steps=t; fi
  if runs 3; then steps=${steps}s; fi
  if runs 4 && [ "$supervision" = score ]; then steps=${steps}f; fi
  if [ -n "$steps" ]; then
    evaluates=0
    if runs 5; then evaluates=1; fi
    plan=$("$python" -m local.minutes plan --exp_dir "$exp" --left "$(left)" --steps "$steps" \
      --evaluates "$evaluates" --supervision "$supervision" --adversarial "$adversarial" \
      ${loss_options[@]+"${loss_options[@]}"} "${common[@]}" \
      ${train_options[@]+"${train_options[@]}"})
    train_options+=($plan)
  fi
fi

if runs 2 && [ "$critic" != none ]; then
  run_stage 2 "step 1, train the transcriptor on mixtures" "$prepared" "$transcriptor"
  need_prepared
  if [ "$transcriptor" != "$exp/transcriptor/best_model.pth" ]; then
    echo "  --transcriptor is given: nothing to train"
  else
    run_python train_transcriptor.py --exp_dir "$exp/transcriptor" --labels "$labels" \
      "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  fi
  end_stage
fi

if runs 3; then
  if [ "$critic" = none ]; then
    run_stage 3 "train separator and transcriptor as one network" "$prepared" "$exp/separator"
    need_prepared
  else
    run_stage 3 "step 2, train the separator against the frozen transcriptor" "$critic" "$exp/separator"
    need_prepared
    need "$critic" 2
  fi
  run_python train_separator.py --exp_dir "$exp/separator" --critic "$critic" --start "$start" \
    --supervision "$supervision" ${loss_options[@]+"${loss_options[@]}"} "${common[@]}" \
    ${train_options[@]+"${train_options[@]}"}
  end_stage
fi

if runs 4 && [ "$supervision" = score ]; then
  run_stage 4 "step 3, fine-tune both together ($tuning)" "$exp/separator" "$exp/finetune"
  need "$exp/separator/best_model.pth" 3
  need "$transcriptor" $([ "$critic" = none ] && echo 3 || echo 2)
  run_python finetune.py --exp_dir "$exp/finetune" --separator "$exp/separator/best_model.pth" \
    --transcriptor "$transcriptor" ${loss_options[@]+"${loss_options[@]}"} \
    --adversarial "$adversarial" --adapt_critic "$adapt_critic" "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  end_stage
fi

if runs 5; then
  run_stage 5 "evaluate on whole test tracks" "$exp" "$exp/tables.md, final_metrics.json, examples/ ..."
  need_prepared
  need "$exp/separator/best_model.pth" 3
  models=(--separator "$exp/separator/best_model.pth")
  case "$supervision" in
    score) models+=(--row "isolated, $loss_name" --transcriptor "$transcriptor") ;;
    activity) models+=(--row "baseline, $loss_name") ;;
    stems) models+=(--row supervised) ;;
    semi) models+=(--row "semi-supervised, $loss_name" --transcriptor "$transcriptor") ;;
  esac
  if [ "$supervision" = score ] && [ -e "$exp/finetune/best_model.pth" ]; then
    name="fine-tune, $loss_name"
    [ "$adversarial" = none ] || name="$name, $adversarial"
    [ "$adapt_critic" = false ] || name="$name, adapted critic"
    models+=(--finetuned "$exp/finetune" --finetune_row "$name")
  fi
  if [ -n "$minutes" ]; then # with 10 s for what follows the scores, and not 0, which is no limit
    train_options+=(--eval_minutes "$(left 10 | LC_ALL=C awk '{ print ($1 > 6 ? $1 / 60 : 0.1) }')")
  fi
  run_python eval.py --exp_dir "$exp" "${models[@]}" "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  end_stage
fi
