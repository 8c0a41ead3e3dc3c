/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg_key.h"

#include "plan.h"

#define NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
#define PATH_PATTERN "^/"

static const char *const store_types[] = {
	"docker", "containerd", "lvm", "lxc", "manual", "podman", "proxmox", "tree", NULL};
static const char *const rooted[] = {"docker", "containerd", "lxc", NULL};
static const char *const pooled[] = {"docker", "containerd", "podman", NULL};
static const char *const by_podman[] = {"podman", NULL};
static const char *const by_proxmox[] = {"proxmox", NULL};
static const char *const pausing[] = {"docker", NULL};
static const char *const listed[] = {"tree", NULL};
static const char *const by_lvm[] = {"lvm", NULL};
static const char *const by_hand[] = {"manual", NULL};
static const char *const dest_types[] = {"directory", NULL};
static const char *const consistencies[] = {"freeze", "pause", NULL};
static const char *const limit_actions[] = {"continue", "stop", NULL};
static const char *const moments[] = {"job", "container", NULL};
static const char *const states[] = {"finish", "fail", NULL};
static const char *const io_classes[] = {"best-effort", "idle", NULL};

const struct cfg_key cfg_tree_keys[] = {
	KEY_STR(struct cfg_tree, name, .required = true, .check = cfg_check_name,
		.pattern = NAME_PATTERN, .sample = "rootfs",
		.help = "Name of the container that the folder stands for"),
	KEY_STR(struct cfg_tree, path, .required = true, .check = cfg_check_path,
		.pattern = PATH_PATTERN, .sample = "/mnt/rootfs",
		.help = "The folder; it is read as it is, without a snapshot"),
	KEY_END,
};

const struct cfg_key cfg_volume_keys[] = {
	KEY_STR(struct cfg_volume, name, .required = true, .check = cfg_check_name,
		.pattern = NAME_PATTERN, .sample = "web",
		.help = "Name of the container that the thin device stands for"),
	KEY_STR(struct cfg_volume, device, .optional = true, .check = cfg_check_path,
		.pattern = PATH_PATTERN,
		.help = "Path of the thin device while it is active; instead of the next three"),
	KEY_STR(struct cfg_volume, pool, .optional = true, .check = cfg_check_pool,
		.sample = "tank-pool", .help = "The pool's name in device mapper, or its path"),
	KEY_NUM(struct cfg_volume, thin_id, CFG_COUNT, 0, 0xFFEFFF, "0", "16773119",
		.optional = true, .sample = "7",
		.help = "The thin device's number in the pool; thinark's own are above these"),
	KEY_NUM(struct cfg_volume, size, CFG_BYTES, 1 << 16, (int64_t)1 << 50, "64K", "1024T",
		.optional = true, .sample = "10G",
		.help = "Size of an inactive one, which its pool does not know; else not needed"),
	KEY_STR(struct cfg_volume, subdir, .def = "", .check = cfg_check_subdir,
		.help = "Folder in it that is the root of the container"),
	KEY_END,
};

const struct cfg_key cfg_store_keys[] = {
	KEY_STR(struct cfg_store, name, .required = true, .check = cfg_check_name,
		.pattern = NAME_PATTERN, .sample = "docker",
		.help = "Name of the store, used by jobs"),
	KEY_ENUM(struct cfg_store, type, store_types, .required = true, .sample = "docker",
		.help = "Kind of container engine"),
	KEY_STR(struct cfg_store, root, .only = rooted, .def = "/var/lib/" CFG_TYPE,
		.sample = "/var/lib/docker", .check = cfg_check_path, .pattern = PATH_PATTERN,
		.help = "Data folder of the engine, which may run or be stopped"),
	KEY_STR(struct cfg_store, config_dir, .only = by_proxmox, .def = "/etc/pve",
		.check = cfg_check_path, .pattern = PATH_PATTERN,
		.help = "Folder of the configuration of Proxmox VE"),
	KEY_STR(struct cfg_store, graphroot, .only = by_podman,
		.def = "/var/lib/containers/storage", .check = cfg_check_path,
		.pattern = PATH_PATTERN, .help = "Root of containers/storage (storage.conf)"),
	KEY_STR(struct cfg_store, pool, .only = pooled, .def = "", .sample = "docker-thinpool",
		.rare = true, .help = "Name of the thin pool, where it is not found by itself"),
	KEY_STR(struct cfg_store, socket, .only = pausing, .def = "/var/run/docker.sock",
		.check = cfg_check_path, .pattern = PATH_PATTERN,
		.help = "Socket of the engine, used for consistency: pause only"),
	KEY_MAPS(struct cfg_store, "trees", trees, tree_count, struct cfg_tree, cfg_tree_keys,
		.only = listed, .required = true, .filled = true,
		.help = "Folders, each of which is archived as one container"),
	KEY_LIST(struct cfg_store, logical_volumes, .only = by_lvm, .required = true,
		.filled = true, .check = cfg_check_volumes, .sample = "[vg0/web, \"@backup\"]",
		.help = "Thin volumes as VG/LV, a glob of that, or @TAG; each is one container"),
	KEY_MAPS(struct cfg_store, "volumes", volumes, volume_count, struct cfg_volume,
		cfg_volume_keys, .only = by_hand, .required = true, .filled = true,
		.help = "Thin devices, each of which is archived as one container"),
	KEY_END,
};

const struct cfg_key cfg_dest_keys[] = {
	KEY_STR(struct cfg_dest, name, .required = true, .check = cfg_check_name,
		.pattern = NAME_PATTERN, .sample = "local",
		.help = "Name of the destination, used by jobs"),
	KEY_ENUM(struct cfg_dest, type, dest_types, .required = true, .sample = "directory",
		.help = "Kind of destination"),
	KEY_STR(struct cfg_dest, path, .required = true, .check = cfg_check_path,
		.pattern = PATH_PATTERN, .sample = "/srv/backup",
		.help = "Folder the archives are written to"),
	KEY_END,
};

const struct cfg_key cfg_job_keys[] = {
	KEY_STR(struct cfg_job, name, .required = true, .check = cfg_check_name,
		.pattern = NAME_PATTERN, .sample = "nightly",
		.help = "Name of the job, as given on the command line"),
	KEY_LIST(struct cfg_job, stores, .required = true, .filled = true, .sample = "[docker]",
		.help = "Names of the stores whose containers are archived"),
	KEY_LIST(struct cfg_job, containers, .filled = true, .def = "[\"*\"]", .sample = "[\"*\"]",
		.check = cfg_check_match,
		.help = "Name, id prefix, glob, label:KEY[=VALUE], state:, pod: or namespace:"),
	KEY_LIST(struct cfg_job, exclude_containers, .def = "[]", .check = cfg_check_match,
		.sample = "[\"*-tmp\", \"label:backup=off\"]",
		.help = "Containers left out, written as in containers"),
	KEY_STR(struct cfg_job, destination, .required = true, .sample = "local",
		.help = "Name of the destination the archives go to"),
	KEY_STR(struct cfg_job, archive_name_format, .def = "{container}/{time}",
		.sample = "{container}/{time}", .check = naming_check, .pattern = "\\{time\\}",
		.help = "Also {store}, {id}, {job} and {hostname}; {time} is in UTC"),
	KEY_STR(struct cfg_job, compression, .def = "zstd,3", .sample = "zstd,3",
		.check = cfg_check_compression, .pattern = "^zstd(,([1-9]|1[0-9]))?$",
		.help = "Either zstd or zstd,LEVEL with a level from 1 to 19"),
	KEY_LIST(struct cfg_job, exclude_patterns, .def = "[]", .check = cfg_check_exclude,
		.sample = "[\"tmp/**\", \"var/cache/**\"]",
		.help = "Files left out, relative to the root folder of the container"),
	KEY_BOOL(struct cfg_job, exclude_caches, .def = "false",
		.help = "Leave out folders with a CACHEDIR.TAG file that has the signature"),
	KEY_LIST(struct cfg_job, exclude_if_present, .def = "[]", .check = cfg_check_file_name,
		.sample = "[.nobackup]", .rare = true,
		.help = "Leave out folders that hold a file of one of these names"),
	KEY_ENUM(struct cfg_job, consistency, consistencies, .def = "freeze",
		.help = "Freeze the file system, or pause the processes as well, at the snapshot"),
	KEY_BOOL(struct cfg_job, group, .def = "false",
		.help = "Take the snapshots of all containers of the job in one instant"),
	KEY_NUM(struct cfg_job, archive_timeout, CFG_SECONDS, 60, 30 * 86400, "60s", "30d",
		.def = "24h", .help = "A container whose archive takes longer is given up"),
	KEY_ENUM(struct cfg_job, on_pool_limit, limit_actions, .def = "continue",
		.help = "With the next container, when the pool's limit ended one"),
	KEY_END,
};

const struct cfg_key cfg_command_keys[] = {
	KEY_ENUM(struct cfg_command, before, moments, .optional = true, .sample = "container",
		.help = "Run before each job or container; either this or after"),
	KEY_ENUM(struct cfg_command, after, moments, .optional = true,
		.help = "Run after each job or container, also when it failed"),
	KEY_LIST(struct cfg_command, jobs, .def = "[]", .sample = "[nightly]",
		.help = "Names of the jobs it belongs to; none for all"),
	KEY_LIST(struct cfg_command, states, .def = "[]", .words = states,
		.help = "With after: only when it came to this end; none for any"),
	KEY_LIST(struct cfg_command, run, .required = true, .filled = true,
		.sample = "[/usr/local/sbin/quiesce, --fast]",
		.help = "Absolute path of the program and its arguments; no shell"),
	KEY_NUM(struct cfg_command, timeout, CFG_SECONDS, 1, 86400, "1s", "1d", .def = "60s",
		.sample = "60s", .help = "A program that runs longer is killed and has failed"),
	KEY_END,
};

const struct cfg_key cfg_keys[] = {
	KEY_MAPS(struct cfg, "stores", stores, store_count, struct cfg_store, cfg_store_keys,
		.required = true, .filled = true, .help = "Container engines to read from"),
	KEY_MAPS(struct cfg, "destinations", dests, dest_count, struct cfg_dest, cfg_dest_keys,
		.required = true, .filled = true, .help = "Places where archives are kept"),
	KEY_MAPS(struct cfg, "jobs", jobs, job_count, struct cfg_job, cfg_job_keys,
		.required = true, .filled = true,
		.help = "What is archived, where it goes and how"),
	KEY_MAPS(struct cfg, "commands", commands, command_count, struct cfg_command,
		cfg_command_keys, .optional = true,
		.help = "Programs run before and after jobs and containers"),
	KEY_NUM(struct cfg, pool_min_free_data, CFG_PERCENT, 1, 90, "1%", "90%", .def = "10%",
		.help = "Free data below which a pool is left alone"),
	KEY_NUM(struct cfg, pool_min_free_metadata, CFG_PERCENT, 1, 90, "1%", "90%", .def = "10%",
		.help = "Free metadata below which a pool is left alone"),
	KEY_NUM(struct cfg, lock_wait, CFG_SECONDS, 0, 7 * 86400, "0s", "7d", .def = "0s",
		.help = "How long to wait for a pool or destination that another run uses"),
	KEY_NUM(struct cfg, nice, CFG_COUNT, 0, 19, "0", "19", .def = "10",
		.help = "Niceness of the processor and, from it, of the disk"),
	KEY_ENUM(struct cfg, io_class, io_classes, .def = "best-effort",
		.help = "Idle reads only when nobody else does; a busy disk may starve it"),
	KEY_NUM(struct cfg, memory, CFG_BYTES, 32 << 20, (int64_t)1 << 40, "32M", "1T",
		.def = "128M",
		.help = "For reading ahead and compressing; about 13M let one core more compress"),
	KEY_NUM(struct cfg, rate_limit, CFG_BYTES, 0, (int64_t)1 << 40, "0", "1T", .def = "0",
		.help = "Bytes archived a second, before compression; 0 for no limit"),
	KEY_END,
};
