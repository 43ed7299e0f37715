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
static void (*on_print)(void);

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

void stats_set(unsigned id, uint64_t value)
{
	if (stats_mine)
		atomic_store_explicit(&stats_mine[stats_cell[id]], value, memory_order_relaxed);
}

void stats_on_print(void (*fn)(void))
{
	on_print = fn;
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

/* ---- printing */

/* The family of a row: its id without labels. */
static struct span family(const struct stats_row *r)
{
	struct span id = span_str(r->id);

	return span_head(id, span_chr(id, '{'));
}

/* class="2xx",stage="mail" without the braces; empty: no labels. */
static struct span labels(const struct stats_row *r)
{
	struct span id = span_str(r->id);
	struct span s = span_from(id, span_chr(id, '{') + 1);

	return span_head(s, s.n ? s.n - 1 : 0);
}

static bool begins_family(unsigned i)
{
	return i == 0 || !span_eq(family(&rows[i]), family(&rows[i - 1]));
}

static bool ends_family(unsigned i)
{
	return i + 1 == row_count || begins_family(i + 1);
}

static int print_without_quotes(struct span s, struct buf *out)
{
	int rc = 0;

	for (size_t i = 0; i < s.n && !rc; i++)
		rc = s.p[i] == '"' ? 0 : buf_add(out, s.p + i, 1);
	return rc;
}

static void begin_printing(void)
{
	if (on_print)
		on_print();
}

static int print_text_row(struct buf *out, unsigned i)
{
	struct buf name = { 0 };
	int rc = print_without_quotes(span_str(rows[i].id), &name);

	if (!rc)
		rc = buf_printf(out, "%-28.*s %" PRIu64, (int)buf_len(&name), buf_span(&name).p,
				stats_sum(i));
	if (!rc && rows[i].kind == STATS_HISTOGRAM)
		rc = buf_printf(out, " (p50 %" PRIu64 ", p99 %" PRIu64 " %s)",
				stats_quantile(i, 0.5), stats_quantile(i, 0.99), rows[i].unit);
	buf_release(&name);
	return rc ? rc : buf_add(out, "\n", 1);
}

int stats_print_text(struct buf *out)
{
	int rc = 0;

	begin_printing();
	for (unsigned i = 0; i < row_count && !rc; i++)
		rc = print_text_row(out, i);
	return rc;
}

/* A family with labels is an object: "replies":{"class=2xx,stage=mail":7}. */
static int print_json_row(struct buf *out, unsigned i)
{
	struct span f = family(&rows[i]), l = labels(&rows[i]);
	int rc = i ? buf_add(out, ",", 1) : 0;

	if (!rc && begins_family(i))
		rc = buf_printf(out, "\"%.*s\":%s", (int)f.n, f.p, l.n ? "{" : "");
	if (!rc && l.n) {
		rc = buf_add(out, "\"", 1);
		if (!rc)
			rc = print_without_quotes(l, out);
		if (!rc)
			rc = buf_add(out, "\":", 2);
	}
	if (!rc && rows[i].kind == STATS_HISTOGRAM)
		rc = buf_printf(out,
				"{\"count\":%" PRIu64 ",\"sum\":%" PRIu64 ",\"p50\":%" PRIu64
				",\"p99\":%" PRIu64 "}",
				stats_sum(i), cell_sum(stats_cell[i] + STATS_BUCKETS + 1),
				stats_quantile(i, 0.5), stats_quantile(i, 0.99));
	else if (!rc)
		rc = buf_printf(out, "%" PRIu64, stats_sum(i));
	return rc || !l.n || !ends_family(i) ? rc : buf_add(out, "}", 1);
}

int stats_print_json(struct buf *out)
{
	int rc = 0;

	begin_printing();
	for (unsigned i = 0; i < row_count && !rc; i++)
		rc = print_json_row(out, i);
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

static int print_openmetrics_row(struct buf *out, unsigned i)
{
	static const char *const type[] = { "counter", "gauge", "histogram" };
	struct span f = family(&rows[i]), with_braces = span_from(span_str(rows[i].id), f.n);
	int rc = 0;

	if (begins_family(i))
		rc = buf_printf(out, "# TYPE smx_%s_%.*s %s\n# HELP smx_%s_%.*s %s\n", prefix,
				(int)f.n, f.p, type[rows[i].kind], prefix, (int)f.n, f.p,
				rows[i].text);
	if (rc)
		return rc;
	if (rows[i].kind == STATS_HISTOGRAM)
		return print_histogram(out, i);
	return buf_printf(out, "smx_%s_%.*s%s%.*s %" PRIu64 "\n", prefix, (int)f.n, f.p,
			  rows[i].kind == STATS_COUNTER ? "_total" : "", (int)with_braces.n,
			  with_braces.p, stats_sum(i));
}

int stats_print_openmetrics(struct buf *out)
{
	int rc = 0;

	begin_printing();
	for (unsigned i = 0; i < row_count && !rc; i++)
		rc = print_openmetrics_row(out, i);
	return rc;
}
