# Starts PostgreSQL and stops it when nobody holds the other end of our standard input any more: the kernel
# closes that end however its holder dies. Standard output is a lock file, which PostgreSQL inherits as
# descriptor 4; standard error is its log.
# Arguments: grace in fifths of a second, named pipe or '', program and its arguments.
trap '' HUP INT TERM
grace=$1 pipe=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- 4>&1 >&2 &
postmaster=$!
(
    ends=0
    while [ "$ends" -le "$grace" ]; do
        # A line says that somebody joined, the end of the file that nobody is there.
        if read -r line <&3; then
            ends=0
        else
            ends=$((ends + 1))
            [ "$ends" -gt "$grace" ] || sleep 0.2
        fi
    done
    if [ -n "$pipe" ]; then
        # From here on nobody can join; whoever did in the last moment is waited for.
        rm -f "$pipe"
        while read -r line <&3; do :; done
    fi
    trap '' USR1
    for signal in INT QUIT KILL; do
        kill -s "$signal" "$postmaster" 2>/dev/null
        tries=0
        while [ "$tries" -lt 200 ]; do
            kill -0 "$postmaster" 2>/dev/null || exit 0
            sleep 0.05
            tries=$((tries + 1))
        done
    done
) &
watcher=$!
exec 3<&-
# The postmaster is our child: its number cannot go to another process before this returns.
wait "$postmaster"
status=$?
# Ends a watcher that still reads; one that is stopping PostgreSQL ends by itself.
kill -s USR1 "$watcher" 2>/dev/null
wait "$watcher"
exit "$status"
