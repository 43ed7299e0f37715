#include "bench/sink_total.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ID_BYTES = 512 << 20, LOST_SHOWN = 20 };

static const char *const stat_names[SINK_STATS] = {
#define STAT(id, text) #id,
#include "bench/sink_stats.def"
#undef STAT
};

int sink_total_init(struct sink_total *t, unsigned worker_count, size_t pair_count)
{
	*t = (struct sink_total){ .worker_count = worker_count,
				  .begin_usec = clock_now(),
				  .reached_fd = -1 };
	t->ids = idset_new(ID_BYTES);
	t->pairs = hashset_new(pair_count);
	t->counts = calloc(worker_count, sizeof(*t->counts));
	t->reached_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->ids && t->pairs && t->counts && t->reached_fd >= 0)
		return 0;
	sink_total_free(t);
	return -ENOMEM;
}

void sink_total_free(struct sink_total *t)
{
	idset_free(t->ids);
	hashset_free(t->pairs);
	free(t->counts);
	outbuf_free(&t->acked_text);
	if (t->reached_fd >= 0)
		close(t->reached_fd);
	*t = (struct sink_total){ .reached_fd = -1 };
}

uint64_t sink_total_get(const struct sink_total *t, enum sink_stat stat)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < t->worker_count; i++)
		n += atomic_load_explicit(&t->counts[i].v[stat], memory_order_relaxed);
	return n;
}

static uint64_t pair_hash(const struct msgid *id, uint64_t rcpt)
{
	return hash_mix(hash_mix(span_hash(span_of(id->run, id->run_n)), id->number), rcpt);
}

static void content_stats(struct sink_count *c, const struct datascan *d)
{
	sink_total_add(c, SINK_bytes, d->bytes);
	if (datascan_corrupt(d))
		sink_total_add(c, SINK_corrupt, 1);
	if (d->bare_cr | d->bare_lf | d->nul | d->long_lines) {
		sink_total_add(c, SINK_content_bare_cr, d->bare_cr);
		sink_total_add(c, SINK_content_bare_lf, d->bare_lf);
		sink_total_add(c, SINK_content_nul, d->nul);
		sink_total_add(c, SINK_content_long, d->long_lines);
	}
}

static void reached(struct sink_total *t)
{
	const uint64_t one = 1;

	if (write(t->reached_fd, &one, sizeof(one)) < 0)
		return; /* it is already signalled */
}

static void note_id(struct sink_total *t, struct sink_count *c, const struct datascan *d)
{
	int rc = d->id.number ? idset_add(t->ids, &d->id, &c->hint) : -ENOENT;

	if (rc == -ENOENT)
		sink_total_add(c, SINK_unidentified, 1);
	else if (rc < 0)
		sink_total_add(c, SINK_untracked, 1);
	else if (rc == 0)
		sink_total_add(c, SINK_duplicates, 1);
	else if (t->expect && idset_distinct(t->ids) >= t->expect)
		reached(t);
	if (t->expect_messages && sink_total_get(t, SINK_messages) >= t->expect_messages)
		reached(t);
}

void sink_total_message(struct sink_total *t, struct sink_count *c, const struct datascan *d,
			const uint64_t *rcpt, size_t rcpt_n, bool first, usec_t now_usec)
{
	sink_total_add(c, SINK_recipients, rcpt_n);
	for (size_t i = 0; i < rcpt_n && d->id.number; i++) {
		int rc = hashset_add(t->pairs, pair_hash(&d->id, rcpt[i]));
		if (rc <= 0)
			sink_total_add(c, rc ? SINK_untracked : SINK_duplicate_recipients, 1);
	}
	if (!first)
		return;
	sink_total_add(c, SINK_messages, 1);
	content_stats(c, d);
	if (!atomic_load_explicit(&c->first_usec, memory_order_relaxed))
		atomic_store_explicit(&c->first_usec, now_usec, memory_order_relaxed);
	atomic_store_explicit(&c->last_usec, now_usec, memory_order_relaxed);
	if (d->sent_usec && d->sent_usec <= (uint64_t)now_usec)
		hist_add(&c->latency, (uint64_t)now_usec - d->sent_usec);
	note_id(t, c, d);
}

uint64_t sink_total_lost(const struct sink_total *t)
{
	uint64_t distinct = idset_distinct(t->ids);

	if (t->acked_done)
		return t->acked_lost;
	if (t->expect)
		return t->expect > distinct ? t->expect - distinct : 0;
	return idset_gaps(t->ids);
}

/* One line "ID RECIPIENT...": the recipients are looked up too when there are any. */
static void compare_line(struct sink_total *t, struct span line)
{
	struct span rest = line;
	struct span word = span_word(&rest, " ");
	struct msgid id;

	if (msgid_parse(word.p, word.n, &id)) {
		t->acked_bad++;
		return;
	}
	t->acked++;
	if (!idset_has(t->ids, &id)) {
		if (t->acked_lost++ < LOST_SHOWN)
			outbuf_fmt(&t->acked_text, "%.*s\n", (int)word.n, word.p);
	}
	for (word = span_word(&rest, " "); word.n; word = span_word(&rest, " "))
		if (!hashset_has(t->pairs, pair_hash(&id, span_casehash(word))))
			t->acked_lost_recipients++;
}

int sink_total_compare(struct sink_total *t, const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	t->acked = t->acked_lost = t->acked_lost_recipients = t->acked_bad = 0;
	t->acked_text.n = 0;
	while ((n = getline(&line, &cap, f)) > 0) {
		if (line[n - 1] != '\n')
			break; /* a line that is still being written says nothing yet */
		compare_line(t, span_of(line, (size_t)n - 1));
	}
	int rc = ferror(f) ? -EIO : 0;
	free(line);
	fclose(f);
	t->acked_done = rc == 0;
	return rc;
}

struct times {
	double first, last, cpu;
};

static struct times times_get(const struct sink_total *t)
{
	struct rusage ru;
	int64_t first = 0, last = 0;

	getrusage(RUSAGE_SELF, &ru);
	for (unsigned i = 0; i < t->worker_count; i++) {
		int64_t f = atomic_load_explicit(&t->counts[i].first_usec, memory_order_relaxed);
		int64_t l = atomic_load_explicit(&t->counts[i].last_usec, memory_order_relaxed);
		if (f && (!first || f < first))
			first = f;
		if (l > last)
			last = l;
	}
	return (struct times){ (double)first / 1e6, (double)last / 1e6,
			       (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6 };
}

static void json_latency(const struct sink_total *t, struct jsonw *w)
{
	static const struct {
		const char *name;
		double q;
	} rows[] = {
		{ "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p99.9", .999 }, { "max", 1 }
	};
	struct hist *h = calloc(1, sizeof(*h));

	if (!h)
		return;
	for (unsigned i = 0; i < t->worker_count; i++)
		hist_merge(h, &t->counts[i].latency);
	jsonw_open(w, "latency_ms");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		jsonw_num(w, rows[i].name, (double)hist_quantile(h, rows[i].q) / 1000, 3);
	jsonw_close(w);
	free(h);
}

static void json_acked(const struct sink_total *t, struct jsonw *w)
{
	struct span rest = span_of(t->acked_text.p, t->acked_text.n);

	jsonw_u64(w, "acked", t->acked);
	jsonw_u64(w, "lost_recipients", t->acked_lost_recipients);
	jsonw_list(w, "lost_ids");
	for (struct span id = span_word(&rest, "\n"); id.n; id = span_word(&rest, "\n"))
		jsonw_str(w, NULL, id.p, id.n);
	jsonw_list_end(w);
}

void sink_total_json(const struct sink_total *t, struct outbuf *out)
{
	struct jsonw w;
	struct times tm = times_get(t);

	jsonw_init(&w, out);
	jsonw_open(&w, NULL);
	for (unsigned i = 0; i < SINK_STATS; i++)
		jsonw_u64(&w, stat_names[i], sink_total_get(t, (enum sink_stat)i));
	jsonw_u64(&w, "sessions_open",
		  sink_total_get(t, SINK_sessions_total) - sink_total_get(t, SINK_sessions_closed));
	jsonw_u64(&w, "distinct", idset_distinct(t->ids));
	jsonw_u64(&w, "distinct_recipients", hashset_count(t->pairs));
	jsonw_u64(&w, "gaps", idset_gaps(t->ids));
	jsonw_u64(&w, "lost", sink_total_lost(t));
	if (t->acked_done)
		json_acked(t, &w);
	jsonw_num(&w, "first_monotonic_s", tm.first, 6);
	jsonw_num(&w, "last_monotonic_s", tm.last, 6);
	jsonw_num(&w, "cpu_s", tm.cpu, 6);
	json_latency(t, &w);
	idset_json(t->ids, &w);
	jsonw_close(&w);
	outbuf_mem(out, "\n", 1);
}

void sink_total_text(const struct sink_total *t, struct outbuf *out)
{
	struct times tm = times_get(t);
	uint64_t messages = sink_total_get(t, SINK_messages);
	double span = tm.last - tm.first;

	outbuf_fmt(
		out,
		"%ju messages, %ju recipients, %ju distinct, %ju duplicate, %ju lost, %ju corrupt\n",
		(uintmax_t)messages, (uintmax_t)sink_total_get(t, SINK_recipients),
		(uintmax_t)idset_distinct(t->ids), (uintmax_t)sink_total_get(t, SINK_duplicates),
		(uintmax_t)sink_total_lost(t), (uintmax_t)sink_total_get(t, SINK_corrupt));
	outbuf_fmt(out, "%.1f MB, %.0f messages/s over %.3f s, %ju connections\n",
		   (double)sink_total_get(t, SINK_bytes) / 1e6,
		   span > 0 ? (double)messages / span : 0, span,
		   (uintmax_t)sink_total_get(t, SINK_sessions_total));
	outbuf_fmt(out, "cpu %.3f s, %.4f s per 1000 messages\n", tm.cpu,
		   messages ? tm.cpu / (double)messages * 1000 : 0);
	if (t->acked_done)
		outbuf_fmt(out, "%ju acknowledged ids compared, %ju recipients of them lost\n",
			   (uintmax_t)t->acked, (uintmax_t)t->acked_lost_recipients);
	if (t->acked_text.n)
		outbuf_fmt(out, "lost, among others:\n%.*s", (int)t->acked_text.n, t->acked_text.p);
}
