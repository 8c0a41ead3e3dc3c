/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds every file of the corpus folder to the target; fails when there is none. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	int count = 0;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

	for (const struct dirent *d; dir && (d = readdir(dir));) {
		char path[4096];
		static uint8_t data[1 << 20];

		(void)snprintf(path, sizeof(path), "%s/%s", argv[1], d->d_name);
		FILE *f = d->d_name[0] == '.' ? NULL : fopen(path, "rb");
		if (!f)
			continue;
		size_t len = fread(data, 1, sizeof(data), f);
		(void)fclose(f);
		(void)LLVMFuzzerTestOneInput(data, len);
		count++;
	}
	if (dir)
		(void)closedir(dir);
	(void)printf("%d inputs\n", count);
	return count == 0;
}
