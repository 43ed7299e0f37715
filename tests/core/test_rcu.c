#include "core/rcu.h"

#include "core/span.h"
#include "core/thread.h"
#include "tests/tap.h"

#include <malloc.h>
#include <stdlib.h>

enum { NODES = 20000, BYTES_PER_NODE = 50 };

struct item {
	struct cds_lfht_node node;
	uint64_t id;
};

static int match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct item, node)->id == *(const uint64_t *)key;
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static unsigned walk(struct cds_lfht *ht)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;
	unsigned n = 0;

	LFHT_FOREACH(ht, &it, node)
	n++;
	return n;
}

/* What the table ordered of its own thread is done after so many grace periods. */
static void let_it_grow(void)
{
	rcu_offline();
	for (int i = 0; i < 32; i++)
		synchronize_rcu();
	rcu_online();
}

static void run(void *arg)
{
	struct item *all = calloc(NODES, sizeof *all);
	struct cds_lfht *ht = lfht_new(64);
	size_t before = heap();
	unsigned found = 0;

	(void)arg;
	for (uint64_t i = 0; i < NODES; i++) {
		all[i].id = i;
		lfht_add_unique(ht, hash_mix(0, i), match, &i, &all[i].node);
		if (i % 4000 == 3999)
			let_it_grow();
		rcu_quiescent();
	}
	for (uint64_t i = 0; i < NODES; i++)
		found += lfht_find(ht, hash_mix(0, i), match, &i) == &all[i].node;
	ok(found == NODES, "each node is found");
	ok(walk(ht) == NODES, "a walk sees each once");
	size_t used = heap() - before;
	if (!before)
		skip("memory is not told here");
	else
		ok(used < NODES * BYTES_PER_NODE, "a table of %u nodes takes %zu bytes", NODES,
		   used);
	for (uint64_t i = 0; i < NODES; i++)
		lfht_remove(ht, &all[i].node);
	ok(walk(ht) == 0, "and none afterwards");
	/* It waits for the table's own thread, which may wait for this one. */
	rcu_offline();
	synchronize_rcu();
	cds_lfht_destroy(ht, NULL);
	rcu_online();
	free(all);
}

int main(void)
{
	pthread_t t;
	int rc = thread_start(&t, "table", THREAD_ANY_CPU, run, NULL);

	/* Until it ended only it may tell results. */
	if (rc == 0)
		thread_join(t);
	ok(rc == 0, "a thread that may read");
	return plan_done();
}
