# Sourced by a script, like Kaldi's parse_options.sh: turns `--name value` on its command line into
# the variable `name`, which must be set in the head of the script (its default and documentation).
# `--name=value` works too.
# `--help` prints the head of the script, up to the first line that is neither comment nor variable.
_head() { awk 'NR > 1 && !/^#/ && !/^[a-z_]+=/ && !/^$/ { exit } NR > 1' "$0"; }
# Only these can be set; no part of an argument is expanded before its name is one of them.
_names=" $(_head | sed -n 's/^\([a-z_]*\)=.*/\1/p' | tr '\n' ' ')"
_refuse() { printf '%s: %s\n' "$0" "$1" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help)
      _head | sed 's/^# \{0,1\}//'
      exit 0
      ;;
    --*)
      _option="${1#--}"
      _name="${_option%%=*}"
      _name="${_name//-/_}"
      case "$_name" in
        ""|*[!a-z_]*) _refuse "there is no option $1; try --help." ;;
      esac
      case "$_names" in
        *" $_name "*) ;;
        *) _refuse "there is no option --$_name; try --help." ;;
      esac
      if [ "$_option" != "${_option%%=*}" ]; then
        printf -v "$_name" '%s' "${_option#*=}"
        shift
      elif [ $# -lt 2 ]; then
        _refuse "--$_name needs a value."
      else
        printf -v "$_name" '%s' "$2"
        shift 2
      fi
      ;;
    *)
      _refuse "found '$1', expected options of the form --name value; try --help."
      ;;
  esac
done

# Ends the script with a message and the exit code of invalid options.
bad_option() { printf '%s: %s\n' "$0" "$1" >&2; exit 2; }
absolute() { case "$1" in ""|/*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac; }
join() { printf '%s, ' "$@" | sed 's/, $//'; }
# Name of an option, its value, the allowed words.
one_of() {
  local name=$1 value=$2 word
  shift 2
  for word in "$@"; do [ "$value" != "$word" ] || return 0; done
  bad_option "--$name is one of $(join "$@"), found '$value'."
}
# Name of an option, its value, smallest and largest whole number.
whole_number() {
  case "$2" in
    ""|*[!0-9]*|0?*|????????????*) ;;
    *) if [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then return 0; fi ;;
  esac
  bad_option "--$1 is a whole number from $3 to $4, found '$2'."
}
# Name of an option, its text: splits the text into the array `words`, quoted as in a shell, so that
# "--data_dir '/my songs'" is two words, without expanding anything in it.
split_words() {
  words=()
  case "$2" in *[![:space:]]*) ;; *) return 0 ;; esac
  local word
  printf '%s\n' "$2" | xargs printf '%s' > /dev/null 2>&1 \
    || bad_option "--$1 has an unmatched quote: $2"
  while IFS= read -r -d '' word; do words+=("$word"); done \
    < <(printf '%s\n' "$2" | xargs printf '%s\0')
}
