/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of the archive format (docs/format.md).  Skippable frames: RFC 8878, 3.1.2; seek
 * table: zstd/contrib/seekable_format/zstd_seekable_compression_format.md.
 */
#pragma once

#define FORMAT_ZSTD_MAGIC 0xFD2FB528u
#define FORMAT_SKIP_MAGIC 0x184D2A50u /* to 0x184D2A5F */
#define FORMAT_SKIP_HEAD 8            /* magic and length, bytes */
#define FORMAT_INDEX_MAGIC 0x184D2A5Du
#define FORMAT_SEEK_MAGIC 0x184D2A5Eu
#define FORMAT_SEEK_END 0x8F92EAB1u
#define FORMAT_SEEK_FOOT 9           /* count, flags, end magic; bytes */
#define FORMAT_FRAMES_MAX 0x8000000u /* of a seek table */
