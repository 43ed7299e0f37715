#!/bin/sh
# smx - start, stop, restart, reload, status of the gateway; see smx(8)
conf=${SMX_CONF:-@CONFDIR@/smx.conf}
spool=${SMX_SPOOL:-@SPOOLDIR@}
logs=${SMX_LOGDIR:-@LOGDIR@}
mcp=${SMX_MCP:-@LIBEXECDIR@/mcp}

EX_OK=0 EX_USAGE=64 EX_NOINPUT=66 EX_SOFTWARE=70 EX_TEMPFAIL=75
NOT_RUNNING=3	# of status, as init scripts have it
LONGEST=200	# seconds for a start or a stop

# That of mcp, which is beside this script before the installation.
version() {
	for m in "$mcp" "$(dirname "$0")/mcp"; do
		if [ -x "$m" ]; then
			"$m" -V | sed 's/^mcp/smx/'
			exit
		fi
	done
	echo "smx: there is no program $mcp" >&2
	exit 66
}

usage() {
	cat <<EOF
Usage: smx [-f FILE] [-d DIR] [-L DIR] start|stop|restart|reload|status
  start    start the gateway; returns when it runs
  stop     stop it in order; returns when all of it has ended
  restart  check the configuration, stop, start
  reload   read maps again, and the options that can be changed while it runs
  status   is it running, and which processes; exit status 3 when it is not
  -f FILE  configuration    [$conf]
  -d DIR   spool            [$spool]
  -L DIR   log files        [$logs]
  -h       this text
  -V       version
EOF
}

fail() {
	code=$1
	shift
	echo "smx: $*" >&2
	exit "$code"
}

# Field of mcp.lock: the word behind a name at the begin of a line.
field() {
	awk -v n="$1" -v f="$2" '$1 == n { print $f; exit }' "$spool/mcp.lock" 2>/dev/null
}

# Start time of a process; with its number it names it for good.
birth() {
	sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

# Sets pid; false when no mcp runs.
running() {
	pid=$(field mcp 2)
	[ -n "$pid" ] && [ "$(birth "$pid")" = "$(field mcp 3)" ]
}

check() {
	[ -x "$mcp" ] || fail $EX_NOINPUT "there is no program $mcp"
	[ -d "$spool" ] || fail $EX_NOINPUT "there is no spool $spool"
	[ -d "$logs" ] || fail $EX_NOINPUT "there is no log directory $logs"
	cd "$spool" || exit $EX_NOINPUT
	"$mcp" -n -f "$conf" || exit
}

start() {
	if running; then
		echo "smx: it runs already, mcp is process $pid"
		return 0
	fi
	check
	log=$logs/mcp.log
	(umask 027; : >> "$log") || fail $EX_NOINPUT "cannot write $log"
	size=$(wc -c < "$log")
	setsid "$mcp" -f "$conf" -L "$logs" < /dev/null >> "$log" 2>&1 &
	child=$!
	n=0
	while [ $n -lt $((LONGEST * 10)) ]; do
		if [ "$(field mcp 2)" = $child ] && [ "$(field state 2)" = running ]; then
			echo "smx: it runs, mcp is process $child"
			return 0
		fi
		if [ -z "$(birth $child)" ]; then
			wait $child
			code=$?
			tail -c +$((size + 1)) "$log" >&2
			[ $code != 0 ] || code=$EX_SOFTWARE
			fail $code "it did not start"
		fi
		sleep 0.1
		n=$((n + 1))
	done
	fail $EX_TEMPFAIL "it has not started within $LONGEST seconds; see $log"
}

stop() {
	if ! running; then
		echo "smx: it does not run"
		return 0
	fi
	old=$pid
	kill -TERM "$old" || fail $EX_TEMPFAIL "cannot stop process $old"
	n=0
	while running && [ "$pid" = "$old" ]; do
		[ $n -lt $((LONGEST * 10)) ] ||
			fail $EX_TEMPFAIL "process $old has not ended within $LONGEST seconds"
		sleep 0.1
		n=$((n + 1))
	done
	echo "smx: stopped"
}

status() {
	if ! running; then
		echo "not running"
		exit $NOT_RUNNING
	fi
	echo "$(field state 2), spool $spool"
	awk '$1 != "boot" && $1 != "state" { printf "%-10s %s\n", $1, $2 }' "$spool/mcp.lock"
}

while getopts f:d:L:hV opt; do
	case $opt in
	f) conf=$OPTARG ;;
	d) spool=$OPTARG ;;
	L) logs=$OPTARG ;;
	h) usage; exit $EX_OK ;;
	V) version ;;
	*) usage >&2; exit $EX_USAGE ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || { usage >&2; exit $EX_USAGE; }
# Programs are started in the spool, so names must not depend on where we are.
absolute() {
	case $1 in
	/*) echo "$1" ;;
	*) echo "$PWD/$1" ;;
	esac
}
conf=$(absolute "$conf") spool=$(absolute "$spool") logs=$(absolute "$logs") mcp=$(absolute "$mcp")

case $1 in
start) start ;;
stop) stop ;;
restart)
	check
	stop
	start
	;;
reload)
	running || fail $NOT_RUNNING "it does not run"
	kill -HUP "$pid" && echo "smx: reload"
	;;
status) status ;;
*)
	usage >&2
	exit $EX_USAGE
	;;
esac
