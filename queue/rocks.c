#include "queue/rocks.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The Makefile says which version the header belongs to. */
#ifndef SMX_ROCKSDB
#define SMX_ROCKSDB "librocksdb.so"
#endif

struct rocks rocks;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char why[300];

/* Where a function is stored, by its name. */
static const struct {
	const char *name;
	size_t at;
} functions[] = {
#define ROCKS_ROW(name) { "rocksdb_" #name, offsetof(struct rocks, name) },
	ROCKS_FUNCTIONS(ROCKS_ROW)
#undef ROCKS_ROW
};

static void load(void)
{
	void *lib = dlopen(SMX_ROCKSDB, RTLD_LAZY | RTLD_LOCAL);
	bool ok = lib;

	for (size_t i = 0; ok && i < sizeof functions / sizeof functions[0]; i++) {
		void *f = dlsym(lib, functions[i].name);

		memcpy((char *)&rocks + functions[i].at, &f, sizeof f);
		ok = f;
	}
	if (!ok) {
		const char *text = dlerror();

		snprintf(why, sizeof why, "%s", text ? text : SMX_ROCKSDB);
	}
}

const char *rocks_load(void)
{
	pthread_once(&once, load);
	return why[0] ? why : NULL;
}

void rocks_write(rocksdb_t *db, const rocksdb_writeoptions_t *o, rocksdb_writebatch_t *b,
		 char **err)
{
	rocks.write(db, o, b, err);
}
