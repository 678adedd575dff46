# Sourced by run.sh, run_tables.sh and run_baselines.sh after their variables: reads the command
# line, makes paths absolute, enters the folder of the recipe and checks the options that they share.
set -euo pipefail
# Threads that wait must not keep a core busy: beside another process that costs a factor of 5 and more.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$recipe/utils/parse_options.sh"
for _name in slakh_dir data_dir midi_dir splits transcriptor exp_root exp_dir results keep; do
  [ "$_name=${!_name-}" != transcriptor=none ] || continue  # not a path
  case "$_names" in *" $_name "*) printf -v "$_name" '%s' "$(absolute "${!_name}")" ;; esac
done
case "$python" in */*) python=$(absolute "$python") ;; esac
caller=$PWD
cd "$recipe"

# The names of the stages, in the order of their numbers.
stages=(synthesize prepare transcriptor separator finetune evaluate)
# Name of an option, its value: replaces the name of a stage by its number.
stage_number() {
  local number
  for number in "${!stages[@]}"; do
    if [ "$2" = "$number" ] || [ "$2" = "${stages[$number]}" ]; then
      printf -v "$1" '%s' "$number"
      return 0
    fi
  done
  bad_option "--$1 is a number from 0 to 5 or one of $(join "${stages[@]}"), found '$2'."
}
folder_exists() { [ -z "$2" ] || [ -d "$2" ] || bad_option "--$1 $2 is not a folder."; }
# Makes the path of --start absolute, unless it is the name of a model.
starting_point() {
  case "$start" in ""|/*) ;; *) [ ! -e "$caller/$start" ] || start=$caller/$start ;; esac
}
file_exists() { [ -z "$2" ] || [ -f "$2" ] || bad_option "--$1 $2 is not a file."; }

one_of preset "$preset" mini bundled band small long paper
[ -z "$n_jobs" ] || whole_number n_jobs "$n_jobs" 1 4096
command -v "$python" > /dev/null || bad_option "--python '$python' is not a program."
folder_exists slakh_dir "${slakh_dir:-}"
jobs=(); [ -z "$n_jobs" ] || jobs=(--jobs "$n_jobs")
# Options of local/options.py: ends the script if a setting is invalid, else prints the number of
# songs that stage 0 synthesizes.
check_settings() {
  "$python" -m local.options --preset "$preset" --given="$train_opts" "$@"
}
