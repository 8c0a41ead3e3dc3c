# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# A real containerd with the devmapper snapshotter, made inside the case. Sourced after lib.sh.

containerd_root=/srv/containerd
containerd_pool=devpool
snapshots=$containerd_root/io.containerd.snapshotter.v1.devmapper

# containerd_pool_up: as the upstream helper script does, from two loop files
containerd_pool_up() {
	mkdir -p $snapshots
	if [ ! -f $snapshots/data ]; then
		truncate -s 2G $snapshots/data
		truncate -s 64M $snapshots/meta
	fi
	dmsetup create $containerd_pool --table "0 4194304 thin-pool $(losetup --find --show $snapshots/meta) \
$(losetup --find --show $snapshots/data) 128 32768"
}

containerd_pool_down() {
	dmsetup ls --target thin | awk -v p=$containerd_pool-snap- 'index($1, p) == 1 { print $1 }' | sort -r |
		while read -r name; do dmsetup remove --retry "$name"; done
	dmsetup remove --retry $containerd_pool
	for file in data meta; do
		losetup -j $snapshots/$file -O NAME --noheadings | xargs -r losetup -d
	done
}

containerd_config() {
	mkdir -p /etc/containerd
	cat >/etc/containerd/config.toml <<-TOML
		version = 2
		root = "$containerd_root"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[plugins]
		  [plugins."io.containerd.snapshotter.v1.devmapper"]
		    pool_name = "$containerd_pool"
		    base_image_size = "512MB"
		    fs_type = "${1:-ext4}"
	TOML
}

containerd_start() {
	containerd >>$work/containerd.log 2>&1 8>&- &
	containerd=$!
	wait_for 60 ctr version && return 0
	tail -n 20 $work/containerd.log
	return 1
}

# The containers' shims go on without it.
containerd_stop() {
	kill "$containerd"
	wait "$containerd"
	return 0
}

# put_blob FILE: moves it into the image; sets digest and size
put_blob() {
	digest=$(sha256sum "$1" | cut -c 1-64) size=$(stat -c %s "$1")
	mv "$1" "$oci/blobs/sha256/$digest"
}

# containerd_image NAMESPACE...: an image of a busybox, built by hand
containerd_image() {
	oci=/srv/oci tree=/srv/image
	rm -rf $oci $tree
	mkdir -p $oci/blobs/sha256 $tree/bin $tree/etc $tree/tmp $tree/root $tree/volatile $tree/data
	cp /bin/busybox $tree/bin/busybox
	for applet in sh sleep date cat mkdir echo true sync rm; do ln -s busybox $tree/bin/$applet; done
	echo 'root:x:0:0:root:/root:/bin/sh' >$tree/etc/passwd
	tar -C $tree --numeric-owner -cf $oci/layer .
	put_blob $oci/layer
	layer=$digest layer_size=$size
	echo '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:'"$layer"'"]}}' \
		>$oci/config
	put_blob $oci/config
	cat >$oci/manifest <<-JSON
		{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
		"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$digest","size":$size},
		"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:$layer","size":$layer_size}]}
	JSON
	put_blob $oci/manifest
	echo '{"imageLayoutVersion":"1.0.0"}' >$oci/oci-layout
	cat >$oci/index.json <<-JSON
		{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$digest",
		"size":$size,"platform":{"architecture":"amd64","os":"linux"},
		"annotations":{"io.containerd.image.name":"example.org/busybox:1"}}]}
	JSON
	tar -C $oci -cf /srv/oci.tar .
	for namespace; do
		ctr -n "$namespace" images import --snapshotter devmapper /srv/oci.tar || return 1
	done
}

# container NAMESPACE ID [LABEL=VALUE]...: one that runs
container() {
	namespace=$1 id=$2
	shift 2
	for label; do
		shift
		set -- "$@" --label "$label"
	done
	ctr -n "$namespace" run -d --snapshotter devmapper "$@" example.org/busybox:1 "$id" \
		/bin/sh -c 'trap "exit 0" TERM; while :; do date >>/volatile/log; sleep 1 & wait $!; done'
}

# device_of NAMESPACE ID: the dm name of its snapshot, as containerd itself tells
device_of() {
	ctr -n "$1" snapshots --snapshotter devmapper mounts /mnt "$(ctr -n "$1" containers info "$2" |
		jq -r .SnapshotKey)" | sed -n 's|.* /dev/mapper/\([^ ]*\) .*|\1|p'
}
