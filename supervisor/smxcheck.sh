#!/bin/sh
# smxcheck - is this installation right? -p users and groups, -P files, owners, modes; see smxcheck(8)
confdir=@CONFDIR@
spool=@SPOOLDIR@
logs=@LOGDIR@
libexec=@LIBEXECDIR@
bindir=@BINDIR@
smxs=@SMTPS_USER@
smxq=@QMGR_USER@
smxc=@SMTPC_USER@
smxm=@SMAR_USER@
smx=@OTHER_USER@
problems=0

# That of mcp, which is beside this script before the installation.
version() {
	for m in "$libexec/mcp" "$(dirname "$0")/mcp"; do
		if [ -x "$m" ]; then
			"$m" -V | sed 's/^mcp/smxcheck/'
			exit
		fi
	done
	echo "smxcheck: there is no program $libexec/mcp" >&2
	exit 66
}

usage() {
	cat <<EOF
Usage: smxcheck [-p] [-P] [-c DIR] [-d DIR] [-L DIR] [-x DIR] [-b DIR]
  -p      users and groups
  -P      files: owners and modes
  -c DIR  configuration  [$confdir]
  -d DIR  spool          [$spool]
  -L DIR  log files      [$logs]
  -x DIR  programs       [$libexec]
  -b DIR  tools          [$bindir]
  -h      this text
  -V      version
Exit status 0: nothing is wrong, 1: something is.
EOF
}

bad() {
	echo "smxcheck: $*"
	problems=$((problems + 1))
}

# ---- users and groups, R 2.4
has_group() {
	case " $(id -nG "$1" 2>/dev/null) " in
	*" $2 "*) return 0 ;;
	esac
	return 1
}

check_account() {
	getent group "$1" > /dev/null || bad "there is no group $1: groupadd -r $1"
	if ! getent passwd "$1" > /dev/null; then
		bad "there is no user $1: useradd -r -g $1 -d /nonexistent -M -s /usr/sbin/nologin $1"
		return
	fi
	[ "$(id -u "$1")" != 0 ] || bad "user $1 must not be root"
	[ "$(id -gn "$1")" = "$1" ] || bad "user $1 is not in its own group: usermod -g $1 $1"
}

check_users() {
	for u in $smxs $smxq $smxc $smxm $smx; do check_account "$u"; done
	for g in $smxc $smxm; do
		has_group "$smxs" "$g" || bad "$smxs is not in the group $g: usermod -a -G $g $smxs"
	done
	for g in $smxs $smxc $smxm; do
		has_group "$smxq" "$g" || bad "$smxq is not in the group $g: usermod -a -G $g $smxq"
	done
	if has_group "$smxs" "$smxq"; then
		bad "$smxs must not be in the group $smxq: gpasswd -d $smxs $smxq"
	fi
}

# ---- files, R 2.4.1
# exact PATH OWNER GROUP MODE
exact() {
	if ! [ -d "$1" ]; then
		bad "$1: no such directory"
		return
	fi
	is=$(stat -L -c %U:%G "$1")
	[ "$is" = "$2:$3" ] || bad "$1: belongs to $is instead of $2:$3: chown $2:$3 $1"
	is=$(stat -L -c %a "$1")
	[ "$is" = "$4" ] || bad "$1: has the mode $is instead of $4: chmod $4 $1"
}

# What has a right that it must not have; $2: a mask as in find -perm.
not_mode() {
	[ -z "$(find -L "$1" -maxdepth 0 -perm "/$2" 2>/dev/null)" ] || bad "$1: $3"
}

owned_by() {
	f=$1
	shift
	is=$(stat -L -c %U "$f")
	for u; do
		[ "$is" != "$u" ] || return 0
	done
	bad "$f: belongs to $is instead of $1: chown $1 $f"
}

check_program() {
	if ! [ -x "$1" ]; then
		bad "$1: no such program"
		return
	fi
	owned_by "$1" root
	not_mode "$1" 022 "others may write it: chmod go-w $1"
}

# A file that USER reads: map USER FILE
check_map() {
	[ -e "$2" ] || return 0
	owned_by "$2" "$1" root
	not_mode "$2" 022 "others may write it: chmod go-w $2"
	[ "$(stat -L -c %U "$2")" = "$1" ] || [ -n "$(find -L "$2" -maxdepth 0 -perm -004)" ] ||
		bad "$2: $1 cannot read it: chown $1 $2"
}

check_log() {
	[ -e "$logs/$2.log" ] || return 0
	owned_by "$logs/$2.log" "$1"
	not_mode "$logs/$2.log" 022 "others may write it: chmod go-w $logs/$2.log"
}

check_spool() {
	exact "$spool" root "$smxq" 771
	for d in 0 1 2 3 4 5 6 7 8 9 A B C D E F; do exact "$spool/$d" "$smxs" "$smxq" 771; done
	for d in defedb ibdb; do exact "$spool/$d" "$smxq" "$smxq" 700; done
	exact "$spool/qmsmar" "$smxq" "$smxm" 2770
	exact "$spool/qmsmtpc" "$smxq" "$smxc" 2770
	exact "$spool/qmsmtps" "$smxq" "$smxs" 2770
	exact "$spool/smtps" "$smxs" "$smxs" 750
}

check_conf() {
	if [ -e "$confdir/smx.conf" ]; then
		owned_by "$confdir/smx.conf" root "$smx"
		not_mode "$confdir/smx.conf" 022 "others may write it: chmod go-w $confdir/smx.conf"
		[ ! -x "$bindir/smconf" ] || "$bindir/smconf" -f "$confdir/smx.conf" ||
			bad "$confdir/smx.conf: wrong, see above"
	else
		bad "$confdir/smx.conf: no such file"
	fi
	for m in mt access access.db aliases.db; do check_map "$smxm" "$confdir/$m"; done
	check_map "$smxq" "$confdir/qmgr_conf.db"
}

check_files() {
	check_spool
	check_conf
	for p in mcp qmgr smtps smtpc smar; do check_program "$libexec/$p"; done
	for p in createmap mailq qmgrctl smconf runas smx; do check_program "$bindir/$p"; done
	if [ -d "$logs" ]; then
		check_log "$smxs" smtps
		check_log "$smxq" qmgr
		check_log "$smxc" smtpc
		check_log "$smxm" smar
	else
		bad "$logs: no such directory"
	fi
}

users=no files=no
while getopts pPc:d:L:x:b:hV opt; do
	case $opt in
	p) users=yes ;;
	P) files=yes ;;
	c) confdir=$OPTARG ;;
	d) spool=$OPTARG ;;
	L) logs=$OPTARG ;;
	x) libexec=$OPTARG ;;
	b) bindir=$OPTARG ;;
	h) usage; exit 0 ;;
	V) version ;;
	*) usage >&2; exit 64 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# != 0 ] || [ $users$files = nono ]; then
	usage >&2
	exit 64
fi
[ $users = no ] || check_users
[ $files = no ] || check_files
[ $problems = 0 ] || echo "smxcheck: $problems problems"
[ $problems = 0 ]
