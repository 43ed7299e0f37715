#include "core/stats.h"

#include "core/err.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum { MAX_THREADS = 1024 };

_Thread_local _Atomic uint64_t *stats_mine;
unsigned *stats_cell;

static const char *prefix = "";
static const struct stats_row *rows;
static unsigned row_count;
static unsigned cell_count;
static _Atomic(_Atomic uint64_t *) blocks[MAX_THREADS];
static atomic_uint block_count;

void stats_define(const char *name, const struct stats_row *r, unsigned count)
{
	prefix = name;
	rows = r;
	row_count = count;
	stats_cell = xcalloc(count, sizeof *stats_cell);
	cell_count = 0;
	for (unsigned i = 0; i < count; i++) {
		stats_cell[i] = cell_count;
		cell_count += r[i].kind == STATS_HISTOGRAM ? STATS_BUCKETS + 2 : 1;
	}
}

const char *stats_prefix(void)
{
	return prefix;
}

void stats_thread(void)
{
	if (stats_mine || !row_count)
		return;
	/* Whole cache lines, so that no two threads share one. */
	size_t bytes = ((size_t)cell_count * sizeof(uint64_t) + 127) & ~(size_t)127;
	_Atomic uint64_t *b = aligned_alloc(128, bytes);
	if (!b)
		panic("out of memory for statistics");
	memset((void *)b, 0, bytes);
	unsigned i = atomic_fetch_add(&block_count, 1);
	if (i >= MAX_THREADS)
		panic("more than %d threads", MAX_THREADS);
	atomic_store_explicit(&blocks[i], b, memory_order_release);
	stats_mine = b;
}

static unsigned bucket_of(uint64_t v)
{
	unsigned b = v ? 64 - (unsigned)__builtin_clzll(v) : 0;

	return b < STATS_BUCKETS ? b : STATS_BUCKETS - 1;
}

void stats_observe(unsigned id, uint64_t value)
{
	if (!stats_mine)
		return;
	unsigned c = stats_cell[id];
	stats_bump(c + bucket_of(value), 1);
	stats_bump(c + STATS_BUCKETS, 1);
	stats_bump(c + STATS_BUCKETS + 1, value);
}

static uint64_t cell_sum(unsigned cell)
{
	unsigned n = atomic_load(&block_count);
	uint64_t sum = 0;

	for (unsigned i = 0; i < n && i < MAX_THREADS; i++) {
		_Atomic uint64_t *b = atomic_load_explicit(&blocks[i], memory_order_acquire);

		if (b)
			sum += atomic_load_explicit(&b[cell], memory_order_relaxed);
	}
	return sum;
}

uint64_t stats_sum(unsigned id)
{
	uint64_t v =
		cell_sum(stats_cell[id] + (rows[id].kind == STATS_HISTOGRAM ? STATS_BUCKETS : 0));

	/* The -1 of one thread may be seen before the +1 of another. */
	return rows[id].kind == STATS_GAUGE && v > INT64_MAX ? 0 : v;
}

uint64_t stats_quantile(unsigned id, double part)
{
	uint64_t all = stats_sum(id), seen = 0;
	uint64_t want = (uint64_t)((double)all * part);

	if (!all)
		return 0;
	if (want >= all)
		want = all - 1;
	for (unsigned b = 0; b < STATS_BUCKETS; b++) {
		seen += cell_sum(stats_cell[id] + b);
		if (seen > want)
			return b ? ((uint64_t)1 << b) - 1 : 0;
	}
	return UINT64_MAX;
}

int stats_print_text(struct buf *out)
{
	int rc = 0;

	for (unsigned i = 0; i < row_count && !rc; i++) {
		if (rows[i].kind == STATS_HISTOGRAM)
			rc = buf_printf(out,
					"%-28s %" PRIu64 " (p50 %" PRIu64 ", p99 %" PRIu64 " %s)\n",
					rows[i].id, stats_sum(i), stats_quantile(i, 0.5),
					stats_quantile(i, 0.99), rows[i].unit);
		else
			rc = buf_printf(out, "%-28s %" PRIu64 "\n", rows[i].id, stats_sum(i));
	}
	return rc;
}

int stats_print_json(struct buf *out)
{
	int rc = 0;

	for (unsigned i = 0; i < row_count && !rc; i++) {
		const char *comma = i ? "," : "";

		if (rows[i].kind == STATS_HISTOGRAM)
			rc = buf_printf(out,
					"%s\"%s\":{\"count\":%" PRIu64 ",\"sum\":%" PRIu64
					",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 "}",
					comma, rows[i].id, stats_sum(i),
					cell_sum(stats_cell[i] + STATS_BUCKETS + 1),
					stats_quantile(i, 0.5), stats_quantile(i, 0.99));
		else
			rc = buf_printf(out, "%s\"%s\":%" PRIu64, comma, rows[i].id, stats_sum(i));
	}
	return rc;
}

static int print_histogram(struct buf *out, unsigned i)
{
	uint64_t seen = 0;
	int rc = 0;

	for (unsigned b = 0; b < STATS_BUCKETS - 1 && !rc; b++) {
		seen += cell_sum(stats_cell[i] + b);
		rc = buf_printf(out, "smx_%s_%s_bucket{le=\"%" PRIu64 "\"} %" PRIu64 "\n", prefix,
				rows[i].id, b ? ((uint64_t)1 << b) - 1 : 0, seen);
	}
	if (!rc)
		rc = buf_printf(out,
				"smx_%s_%s_bucket{le=\"+Inf\"} %" PRIu64 "\nsmx_%s_%s_sum %" PRIu64
				"\nsmx_%s_%s_count %" PRIu64 "\n",
				prefix, rows[i].id, stats_sum(i), prefix, rows[i].id,
				cell_sum(stats_cell[i] + STATS_BUCKETS + 1), prefix, rows[i].id,
				stats_sum(i));
	return rc;
}

int stats_print_openmetrics(struct buf *out)
{
	static const char *const type[] = { "counter", "gauge", "histogram" };
	int rc = 0;

	for (unsigned i = 0; i < row_count && !rc; i++) {
		rc = buf_printf(out, "# TYPE smx_%s_%s %s\n# HELP smx_%s_%s %s\n", prefix,
				rows[i].id, type[rows[i].kind], prefix, rows[i].id, rows[i].text);
		if (rc)
			break;
		if (rows[i].kind == STATS_HISTOGRAM)
			rc = print_histogram(out, i);
		else
			rc = buf_printf(out, "smx_%s_%s%s %" PRIu64 "\n", prefix, rows[i].id,
					rows[i].kind == STATS_COUNTER ? "_total" : "",
					stats_sum(i));
	}
	return rc;
}
