# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Power cuts without a reboot: everything that lasts (the engine's folder with the pool's files, the state folder, the
# destination) is on one file system over the device 'cut'. In one instant that device stops to take writes; whatever is
# only in memory is lost, as is what the kernel knew: devices, mounts, locks, the boot's id. Sourced after sweep.sh.

disk=/dev/vdb
state=/var/lib/thinark
backup=$docker_root/backup
cuts=0

# boot: as a host comes up, but without an engine
boot() {
	mkdir -p $docker_root
	cat /proc/sys/kernel/random/uuid >/run/boot_id && mount --bind /run/boot_id /proc/sys/kernel/random/boot_id &&
		dmsetup create cut --table "0 $(blockdev --getsz $disk) linear $disk 0" &&
		mount -t ext4 /dev/mapper/cut $docker_root && mkdir -p $docker_root/state $backup $state &&
		mount --bind $docker_root/state $state || return 1
	[ -n "${pool:-}" ] || names_of web
	meta=$(attach $docker_root/devicemapper/devicemapper/metadata)
	data=$(attach $docker_root/devicemapper/devicemapper/data)
	thin_check -q "$meta" || return 2
	pool_start "$meta" "$data" "$(blockdev --getsz "$data")" "$fstype"
}

resume_all() {
	for device in $(dmsetup info -c --noheadings --separator ' ' -o name,suspended | awk '$2 == "Suspended" { print $1 }'); do
		dmsetup resume "$device"
	done
}

# power_cut: in the middle of whatever is going on
power_cut() {
	dmsetup suspend --noflush --nolockfs cut
	# Nobody may live to see his write fail. A process that waits for the disk dies when that answers.
	pids=$(pgrep -x thinark) || true
	# shellcheck disable=SC2086 # words
	kill -9 "$writer" $pids 2>/dev/null
	dmsetup load cut --table "0 $(blockdev --getsz $disk) error" && dmsetup resume cut
	resume_all
	wait "$writer" "$victim" 2>/dev/null
	wait_for 20 sh -c '! pgrep -x thinark' || return 1
	# A suspender that hung completes before it dies.
	resume_all
	cuts=$((cuts + 1))
}

# power_off: forgets what a reboot forgets
power_off() {
	umount "$live" 2>/dev/null
	for device in $(dmsetup ls --target thin | awk '/^thinark-/ { print $1 }') "$layer" "$pool"; do
		dmsetup remove --retry "$device" || return 1
	done
	losetup -d "$meta" "$data"
	umount $state
	umount $docker_root && dmsetup remove --retry cut || return 1
	umount /proc/sys/kernel/random/boot_id
	rm -rf /run/thinark
}

# acknowledged: no line is lost that was on disk before the cut
acknowledged() {
	last_line=$(tail -n 1 "$(sequence)")
	read -r line </run/written
	[ "$(expr "$last_line" + 0)" -ge "$line" ] && no_gap
}

# -- rounds: something bad at a random moment of a run ------------------------------------------------------------

# chance N LIMIT: the Nth random number below LIMIT of this seed
chance() { awk -v s=$((seed + $1)) -v d="$2" 'BEGIN { srand(s); rand(); printf "%d\n", rand() * d }'; }

# config_of_web: of short runs
config_of_web() {
	sample_config $backup
	sed -i -e 's/ containers: .*/ containers: [web]/' \
		-e 's/exclude_patterns: .*/exclude_patterns: ["data\/**", "image\/**", "bin\/**"]/' $work/thinark.yaml
}

# rounds_begin: boots, measures a run that nothing happens to
rounds_begin() {
	umount $state 2>/dev/null
	boot || give_up "boot" "code $?"
	writer_start
	config_of_web
	thinark_exits "a run that nothing happens to" 0 run
	started=$(date +%s%3N)
	thinark_exits "another" 0 run
	duration=$(($(date +%s%3N) - started))
	ids "$meta" >$work/ids
	footprint >$work/before
	echo "seed $seed, a run takes $duration ms"
}

# run_until_random_moment N: sets victim and ms
run_until_random_moment() {
	"$THINARK" -c $work/thinark.yaml run >$work/stdout 2>$work/stderr 8>&- &
	victim=$!
	ms=$(chance "$1" "$duration")
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# cut_and_boot NAME: the power goes and comes back
cut_and_boot() {
	power_cut || give_up "$1: the power goes off"
	power_off || give_up "$1: everything goes down"
	boot || give_up "$1: boot" "code $?"
	lost=$(acknowledged) || not_ok "$1: the container's data" "$lost"
	next=$(expr "$(tail -n 1 "$(sequence)")" + 1)
	writer_start "$next"
	wait_for 10 sh -c "[ \$(cat /run/written) -ge $next ]"
}

# rounds_end: the file systems are what they should be
rounds_end() {
	check "the container never missed a line" no_gap
	kill "$writer"
	wait "$writer"
	umount "$live"
	case $fstype in
	xfs) check "the container's file system is clean" xfs_repair -n /dev/mapper/"$layer" ;;
	*) check "the container's file system is clean" e2fsck -fn /dev/mapper/"$layer" ;;
	esac
	power_off
	check "the host's file system is clean" e2fsck -fn $disk
}
