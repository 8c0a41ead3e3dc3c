# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# kernel_prepare CACHE: unpacks Debian's cloud kernel under CACHE and makes the initramfs; sets kernel_image
# and kernel_initrd. Sourced by run.

# What it takes to reach the host's root folder; the rest is loaded from there, see guest/init.
kernel_modules='virtio_pci virtio_blk virtio_console virtiofs overlay'

kernel_unpack() (
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] || { echo "vm: apt knows no linux-image-cloud-amd64" >&2; exit 1; }
	rm -rf "$1/kernel.new"
	mkdir -p "$1/kernel.new" && cd "$1/kernel.new" || exit 1
	apt-get -q download "$package" >log 2>&1 || { cat log >&2; exit 1; }
	dpkg -x "$package"_*.deb . && rm -f "$package"_*.deb || exit 1
	depmod -b . "$(ls lib/modules)" || exit 1
	rm -rf ../kernel && mv ../kernel.new ../kernel
)

kernel_initramfs() (
	tree=$1/kernel
	top=$2
	release=$(ls "$tree/lib/modules")
	rm -rf "$tree/initramfs"
	mkdir -p "$tree/initramfs" && cd "$tree/initramfs" || exit 1
	mkdir -p bin dev proc sys modules root
	cp /bin/busybox bin/busybox && cp "$top/guest/init1" init && chmod 755 init || exit 1
	# The order differs from build to build; modprobe knows.
	for module in $kernel_modules; do
		modprobe -d "$tree" -S "$release" --show-depends "$module" || exit 1
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >order
	while read -r file; do
		cp "$file" modules/ && basename "$file"
	done <order >modules/order || exit 1
	rm order
	find . | cpio -o -H newc --quiet >../initramfs.cpio.new && mv ../initramfs.cpio.new ../initramfs.cpio
)

kernel_prepare() {
	kernel_top=$(cd "$(dirname "$0")" && pwd)
	(
		flock 9
		if [ ! -e "$1/kernel/ready" ]; then
			kernel_unpack "$1" && touch "$1/kernel/ready" || exit 1
		fi
		if [ ! -e "$1/kernel/initramfs.cpio" ] ||
			[ -n "$(find "$kernel_top/guest/init1" "$kernel_top/kernel.sh" -newer "$1/kernel/initramfs.cpio")" ]; then
			kernel_initramfs "$1" "$kernel_top" || exit 1
		fi
	) 9>"$1/kernel.lock" || return 1
	# shellcheck disable=SC2034 # for the caller
	kernel_image=$(echo "$1"/kernel/boot/vmlinuz-*) kernel_initrd=$1/kernel/initramfs.cpio
}
