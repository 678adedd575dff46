# Sourced by a script, after the idea of Kaldi's parse_options.sh: turns `--name value` on its command
# line into the variable `name`, which the script must have set before (its default and documentation).
# `--name=value` works too.
# `--help` prints the head of the script, down to the first line that is neither comment nor variable.
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help)
      awk 'NR > 1 && !/^#/ && !/^[a-z_]+=/ && !/^$/ { exit } NR > 1' "$0" | sed 's/^# \{0,1\}//'
      exit 0
      ;;
    --*)
      _option="${1#--}"
      _name="${_option%%=*}"
      _name="${_name//-/_}"
      if [ -z "${!_name+set}" ] || [[ ! "$_name" =~ ^[a-z_]+$ ]]; then
        echo "$0: there is no option --${_name}; try --help." >&2
        exit 2
      fi
      if [ "$_option" != "${_option%%=*}" ]; then
        printf -v "$_name" '%s' "${_option#*=}"
        shift
      elif [ $# -lt 2 ]; then
        echo "$0: --${_name} needs a value." >&2
        exit 2
      else
        printf -v "$_name" '%s' "$2"
        shift 2
      fi
      ;;
    *)
      echo "$0: found '$1', expected options of the form --name value; try --help." >&2
      exit 2
      ;;
  esac
done
