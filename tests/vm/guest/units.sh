# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# The units installed as an administrator does it, for cases with "# init: systemd". Sourced after lib.sh.

unit_config() {
	mkdir -p /etc/thinark
	install -m 600 $work/thinark.yaml /etc/thinark/thinark.yaml
}

units_up() {
	[ "$(cat /proc/1/comm)" = systemd ] || give_up "systemd is the first process"
	cmake --install "$THINARK_BUILD" >$work/install.log 2>&1 || give_up "cmake --install" "$(tail -n 1 $work/install.log)"
	unit_files=$(sed -n 's/^-- \(Installing\|Up-to-date\): \(.*\/systemd\/system\/thinark.*\)/\2/p' $work/install.log)
	at_least "units are installed" "$(echo "$unit_files" | wc -w)" 6
	sample_config
	unit_config
	systemctl daemon-reload
}

# unit_run UNIT CODE NAME: starts it and waits; its journal goes to $work/journal
unit_run() {
	unit_since=$(date +%s.%N)
	systemctl start "$1" 2>$work/systemctl
	is "$3: exit code" "$(systemctl show -P ExecMainStatus "$1")" "$2"
	journalctl -q --no-pager -u "$1" --since "@$unit_since" >$work/journal
	[ "$(systemctl show -P ExecMainStatus "$1")" = "$2" ] || tail -n 20 $work/journal | sed 's/^/    /'
	systemctl reset-failed "$1" 2>/dev/null
}
