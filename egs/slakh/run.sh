#!/usr/bin/env bash
# Trains a separator from recordings and scores, as in "Transcription Is All You Need"
# (Hung, Wichern, Le Roux 2021), and evaluates it.
#
#   bash run.sh --preset mini                          on songs that stage 0 synthesizes
#   bash run.sh --slakh_dir /data/slakh2100_flac_redux --preset paper
#   bash run.sh --slakh_dir /data/my_songs             a folder of audio + MIDI pairs
#   bash run.sh --tag mine --stage 3                   goes on with the transcriptor of exp/slakh_mine
#
# The same command again resumes what was stopped, and does nothing that is done.

# Stages: 0 synthesize, 1 prepare, 2 transcriptor, 3 separator, 4 fine-tune, 5 evaluate.
stage=0
stop_stage=5
# Name of the experiment: its folder is exp/slakh_<tag>. Default: made from the choices below.
tag=
# CUDA device, for example 0; empty for the first there is.
id=
python=python

# Data: a Slakh folder or a folder of (audio, MIDI) pairs; empty to synthesize (stage 0).
slakh_dir=
# Where stage 0 and stage 1 write. Default: data/<preset>_<name of the data>.
data_dir=
# For stage 0: a folder of MIDI files, instead of the recipe's own composer.
midi_dir=
# For stage 1: a slakh-utils JSON with the splits; empty to split by folder.
splits=
# Classes, as name=GM programs,inst_class;...  Default: bass, guitar, piano.
classes=
# submix (sum of the classes, the paper's setting) or song (everything).
mixture=submix
n_jobs=
# Further options of `asteroid-scoresup synthesize` and `prepare`, for example "--correct"; words
# with blanks in quotes: "--soundfont '/my fonts/piano.sf2'".
synthesize_opts=
prepare_opts=
# Where the experiments lie. Default: exp, beside this script.
exp_root=

# Sizes and budgets: mini, box, small or paper (local/presets.yml).
preset=mini
# What teaches the separator: score, activity (the weak baseline), stems (the upper bound), or semi
# (stems where there are some, else the score; how many: --train_opts "--stem_fraction 0.1").
supervision=score
# Mixture losses of steps 2 and 3, joined by +: clip, frame, harmonic (all of the paper),
# soft and informed (both ours). Default: clip+informed; frame with --supervision activity.
mixture_loss=
# Step 3: none, aml, atl, aml+atl, or truth (ours).
adversarial=none
# Uses this transcriptor instead of training one in stage 2.
transcriptor=
seed=0
# Further settings of local/conf.yml for all training scripts, for example "--s_epochs 20".
train_opts=

set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$recipe/utils/parse_options.sh"
slakh_dir=$(absolute "$slakh_dir") data_dir=$(absolute "$data_dir") midi_dir=$(absolute "$midi_dir")
splits=$(absolute "$splits") transcriptor=$(absolute "$transcriptor") exp_root=$(absolute "$exp_root")
case "$python" in */*) python=$(absolute "$python") ;; esac
cd "$recipe"

# What cannot be is said before anything is done.
whole_number stage "$stage" 0 5
whole_number stop_stage "$stop_stage" 0 5
[ "$stage" -le "$stop_stage" ] \
  || bad_option "--stage $stage is above --stop_stage $stop_stage: nothing would be done."
whole_number seed "$seed" 0 4294967295
[ -z "$n_jobs" ] || whole_number n_jobs "$n_jobs" 1 4096
one_of preset "$preset" mini box small paper
one_of mixture "$mixture" submix song
one_of supervision "$supervision" score activity stems semi
one_of adversarial "$adversarial" none aml atl aml+atl truth
[ "$supervision" = score ] || [ "$adversarial" = none ] \
  || bad_option "--adversarial $adversarial is for step 3, which --supervision $supervision has not."
case "$id" in
  "") ;;
  GPU-*|MIG-*) export CUDA_VISIBLE_DEVICES="$id" ;;
  *[!0-9,]*|,*|*,|*,,*) bad_option "--id is numbers of CUDA devices such as 0 or 0,1, found '$id'." ;;
  *) export CUDA_VISIBLE_DEVICES="$id" ;;
esac
case "$tag" in
  */*|.|..) bad_option "--tag is the name of a folder, found '$tag'." ;;
esac
[ ${#tag} -le 200 ] || bad_option "--tag has ${#tag} characters; use at most 200."
command -v "$python" > /dev/null || bad_option "--python '$python' is no program that can be run."
[ -z "$slakh_dir" ] || [ -d "$slakh_dir" ] || bad_option "--slakh_dir $slakh_dir is no folder."
[ -z "$midi_dir" ] || [ -d "$midi_dir" ] || bad_option "--midi_dir $midi_dir is no folder."
[ -z "$slakh_dir" ] || [ -z "$midi_dir$synthesize_opts" ] \
  || bad_option "--midi_dir and --synthesize_opts are for stage 0, which --slakh_dir replaces."
[ -z "$splits" ] || [ -f "$splits" ] || bad_option "--splits $splits is no file."
[ -z "$transcriptor" ] || [ -f "$transcriptor" ] \
  || bad_option "--transcriptor $transcriptor is no file."
for folder in "$data_dir" "$exp_root"; do
  [ -z "$folder" ] || [ ! -e "$folder" ] || [ -d "$folder" ] \
    || bad_option "$folder is a file, expected a folder."
done

if [ -z "$mixture_loss" ]; then
  mixture_loss=clip+informed
  [ "$supervision" != activity ] || mixture_loss=frame
fi
"$python" local/options.py --preset "$preset" --given="$train_opts" \
  --mixture_loss="$mixture_loss" --supervision "$supervision" || exit 2
split_words train_opts "$train_opts"; train_options=(${words[@]+"${words[@]}"})
split_words synthesize_opts "$synthesize_opts"; synthesize_options=(${words[@]+"${words[@]}"})
split_words prepare_opts "$prepare_opts"; prepare_options=(${words[@]+"${words[@]}"})
source=$(basename "${slakh_dir:-${midi_dir:-composed}}")
data_dir=${data_dir:-$recipe/data/${preset}_$source}
tag=${tag:-${preset}_${source}_${supervision}_${mixture_loss}_${adversarial}_seed${seed}}
exp=${exp_root:-exp}/slakh_$tag
prepared=$data_dir/prepared
critic=score
[ "$supervision" != activity ] || critic=activity
transcriptor=${transcriptor:-$exp/transcriptor/best_model.pth}
common=(--preset "$preset" --data_dir "$prepared" --seed "$seed")
jobs=(); [ -z "$n_jobs" ] || jobs=(--jobs "$n_jobs")

need() { # file, stage that makes it
  [ -e "$1" ] || { echo "Stage $now needs $1, which stage $2 makes: run with --stage $2." >&2; exit 1; }
}
run_stage() { # number, title, what it reads, what it writes; then the command
  now=$1
  echo; echo "Stage $1: $2"; echo "  reads  $3"; echo "  writes $4"
  SECONDS=0
}
# Runs a command so that a signal to this script alone ends the command too.
run_python() {
  # Commands in the background ignore Ctrl-C unless they are told otherwise.
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

if runs 0 && [ -z "$slakh_dir" ]; then
  run_stage 0 "synthesize songs in Slakh's format" "${midi_dir:-our own composer}" "$data_dir/slakh"
  case "$preset" in
    mini)  songs=(--n_train 300 --n_validation 8 --n_test 10 --n_test_unseen 10 --seconds 30) ;;
    box)   songs=(--n_train 800 --n_validation 12 --n_test 12 --n_test_unseen 12 --seconds 30) ;;
    small) songs=(--n_train 600 --n_validation 12 --n_test 16 --n_test_unseen 16 --seconds 30) ;;
    paper) songs=(--n_train 1500 --n_validation 60 --n_test 100 --n_test_unseen 50 --seconds 120) ;;
  esac
  [ -z "$midi_dir" ] || songs=(--midi_dir "$midi_dir")
  run_python -m asteroid_scoresup.scripts.cli synthesize "$data_dir/slakh" "${songs[@]}" \
    --sample_rate 16000 ${jobs[@]+"${jobs[@]}"} \
    ${synthesize_options[@]+"${synthesize_options[@]}"}
  end_stage
fi

if runs 1; then
  run_stage 1 "prepare" "${slakh_dir:-$data_dir/slakh}" "$prepared"
  [ -n "$slakh_dir" ] || need "$data_dir/slakh" 0
  options=(--mixture "$mixture")
  [ -z "$classes" ] || options+=(--classes "$classes")
  [ -z "$splits" ] || options+=(--splits "$splits")
  run_python -m asteroid_scoresup.scripts.cli prepare "${slakh_dir:-$data_dir/slakh}" "$prepared" \
    "${options[@]}" ${jobs[@]+"${jobs[@]}"} \
    ${prepare_options[@]+"${prepare_options[@]}"}
  end_stage
fi

if runs 2; then
  run_stage 2 "step 1, train the transcriptor on mixtures" "$prepared" "$transcriptor"
  need "$prepared/manifest.json" 1
  if [ "$transcriptor" != "$exp/transcriptor/best_model.pth" ]; then
    echo "  it was given by --transcriptor: nothing to train"
  else
    run_python train_transcriptor.py --exp_dir "$exp/transcriptor" --critic "$critic" \
      "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  fi
  end_stage
fi

if runs 3; then
  run_stage 3 "step 2, train the separator against the frozen transcriptor" "$transcriptor" "$exp/separator"
  need "$prepared/manifest.json" 1
  need "$transcriptor" 2
  run_python train_separator.py --exp_dir "$exp/separator" --critic "$transcriptor" \
    --supervision "$supervision" --mixture_loss "$mixture_loss" "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  end_stage
fi

if runs 4 && [ "$supervision" = score ]; then
  run_stage 4 "step 3, fine-tune both together (adversarial: $adversarial)" "$exp/separator" "$exp/finetune"
  need "$exp/separator/best_model.pth" 3
  need "$transcriptor" 2
  run_python finetune.py --exp_dir "$exp/finetune" --separator "$exp/separator/best_model.pth" \
    --transcriptor "$transcriptor" --mixture_loss "$mixture_loss" --adversarial "$adversarial" \
    "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  end_stage
fi

if runs 5; then
  run_stage 5 "evaluate on whole test tracks" "$exp" "$exp/tables.md, final_metrics.json, examples/ ..."
  need "$prepared/manifest.json" 1
  need "$exp/separator/best_model.pth" 3
  models=(--separator "$exp/separator/best_model.pth")
  case "$supervision" in
    score) models+=(--row "isolated, $mixture_loss" --transcriptor "$transcriptor") ;;
    activity) models+=(--row "baseline, $mixture_loss") ;;
    stems) models+=(--row supervised) ;;
    semi) models+=(--row "semi-supervised, $mixture_loss" --transcriptor "$transcriptor") ;;
  esac
  if [ "$supervision" = score ] && [ -e "$exp/finetune/best_model.pth" ]; then
    name="fine-tune, $mixture_loss"
    [ "$adversarial" = none ] || name="$name, $adversarial"
    models+=(--finetuned "$exp/finetune" --finetune_row "$name")
  fi
  run_python eval.py --exp_dir "$exp" "${models[@]}" "${common[@]}" ${train_options[@]+"${train_options[@]}"}
  end_stage
fi
