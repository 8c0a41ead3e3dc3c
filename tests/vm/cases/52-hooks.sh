#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: xfs
# limit: 400
#
# Programs before and after: they see what they should, and their exit codes decide what is archived.
. "$THINARK_SRC/tests/vm/guest/lib.sh"

mount_docker
start_docker || give_up "dockerd starts"
wait_for 20 container_running web || give_up "web runs"

mkdir -p /srv/hooks
cat >/srv/hooks/note <<'SCRIPT'
#!/bin/sh
echo "$1 ${THINARK_CONTAINER:--} ${THINARK_RESULT:--} ${THINARK_EXIT_CODE:--}" >>/srv/hooks/trace
SCRIPT
cat >/srv/hooks/decide <<'SCRIPT'
#!/bin/sh
case $THINARK_CONTAINER in
job) exit 75 ;;
broken) echo "no way: $(printf '\033[2J')" >&2; exit "$(cat /srv/hooks/broken)" ;;
esac
SCRIPT
cat >/srv/hooks/wait <<'SCRIPT'
#!/bin/sh
[ ! -e /srv/hooks/slow ] || { touch /srv/hooks/waiting; exec sleep 300; }
SCRIPT
chmod 755 /srv/hooks/*

hooks_config() {
	sample_config
	cat >>$work/thinark.yaml <<-YAML
		commands:
		  - {before: job, run: [/srv/hooks/note, before-job]}
		  - {before: job, run: [/srv/hooks/wait]}
		  - {before: container, jobs: [nightly], run: [/srv/hooks/decide]}
		  - {after: container, run: [/srv/hooks/note, after]}
		  - {after: container, states: [fail], run: [/srv/hooks/note, after-fail]}
		  - {after: job, run: [/srv/hooks/note, after-job]}
	YAML
}
status_of() { jq -r "select(.type == \"item\" and .container == \"$1\") | .status" $work/stdout; }
traced() { grep -cxF -- "$1" /srv/hooks/trace; }
fresh() {
	rm -rf /srv/backup /srv/hooks/trace && mkdir -p /srv/backup
}

hooks_config
fresh
echo 1 >/srv/hooks/broken
thinark_exits "run -n" 0 run -n
is "run -n starts nothing" "$(cat /srv/hooks/trace 2>/dev/null)" ''

leak_check_begin
thinark_exits "one skipped, one refused" 3 --json run
leak_check_end "one skipped, one refused"
is "web is good" "$(status_of web)" good
is "job is skipped" "$(status_of job)" skipped
is "broken has failed" "$(status_of broken)" failed
is "the summary counts them" "$(jq -c 'select(.type == "summary") | [.good, .skipped, .failed]' $work/stdout)" '[1,1,1]'
is "only web is archived" "$(find /srv/backup -name '*.tar.zst' | wc -l)" 1
check "its output is logged, escaped" grep -qF 'decide: no way: \x1b[2J' $work/stderr
is "what ran" "$(wc -l </srv/hooks/trace)" 6
for line in 'before-job - - -' 'after web good 0' 'after job skipped 0' 'after broken failed 3' \
	'after-fail broken failed 3' 'after-job - failed 3'; do
	is "ran: $line" "$(traced "$line")" 1
done

fresh
echo 75 >/srv/hooks/broken
thinark_exits "two skipped" 0 run
check "skipping is told" grep -q 'job: skipped: ' $work/stderr
is "after-job: good" "$(traced 'after-job - good 0')" 1

# -- a signal while a program runs ---------------------------------------------------------------------------
fresh
touch /srv/hooks/slow
leak_check_begin
"$THINARK" -c $work/thinark.yaml --json run >$work/stdout 2>$work/stderr 8>&- &
victim=$!
wait_for 30 test -e /srv/hooks/waiting || not_ok "the program before the job starts"
kill -TERM $victim
wait $victim
is "SIGTERM while a program runs: exit code" $? 130
leak_check_end "SIGTERM while a program runs"
is "it ended at once" "$(pgrep -f 'sleep 300' | wc -l)" 0
is "after-job ran all the same" "$(traced 'after-job - failed 130')" 1
is "nothing is archived" "$(find /srv/backup -type f | wc -l)" 0
rm -f /srv/hooks/slow

# -- others could write it -----------------------------------------------------------------------------------
fresh
chmod 775 /srv/hooks/decide
thinark_exits "a program that its group can write" 2 run
check "the message names the chmod" grep -qF "chmod go-w '/srv/hooks/decide'" $work/stderr
chmod 755 /srv/hooks/decide
chown 1000 $work/thinark.yaml
thinark_exits "a stranger's configuration" 2 run
check "the message names the chown" grep -qF "chown root '$work/thinark.yaml'" $work/stderr
is "neither did anything" "$(find /srv/backup /srv/hooks/trace -type f 2>/dev/null | wc -l)" 0

stop_docker
finish
