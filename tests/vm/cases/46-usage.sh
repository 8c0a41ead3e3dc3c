#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# disks: ext4
# limit: 600
#
# ps --usage: what containers of one image take of their pool, beside thin_ls; on a pool that is idle, that commits all the
# time, that somebody else looks at, and that is not active. Killed before each of its calls, recover lets go of the metadata.
. "$THINARK_SRC/tests/vm/guest/lib.sh"
. "$THINARK_SRC/tests/vm/guest/sweep.sh"
. "$THINARK_SRC/tests/vm/guest/usage.sh"

mount_docker
names_of web
meta=$(attach $docker_root/devicemapper/devicemapper/metadata)
data=$(attach $docker_root/devicemapper/devicemapper/data)
modprobe -d "$THINARK_BUILD/vm/kernel" dm-delay || give_up "dm-delay"
# So slow to read that no reading of it all comes between two commits.
dmsetup create slow-metadata --table "0 $(blockdev --getsz "$meta") delay $meta 0 12 $meta 0 0" || give_up "slow metadata"
pool_start /dev/mapper/slow-metadata "$data" "$(blockdev --getsz "$data")" ext4 || give_up "the pool is active"
sample_config

leak_check_begin
usage_checks "$pool"
leak_check_end "ps --usage"

umount "$live" && dmsetup remove --retry "$layer" && dmsetup remove --retry "$pool" &&
	dmsetup remove --retry slow-metadata && losetup -d "$meta" "$data" ||
	give_up "the pool is taken down"
thin_usage $docker_root/devicemapper/devicemapper/metadata >$work/usage.want
thinark_exits "a pool that is not active: ps --usage" 0 --json ps --usage
same_usage "a pool that is not active" $work/usage.want
finish
