#include "bench/sink_total.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void arrive(struct sink_total *t, uint32_t number, const char *rcpt, usec_t now)
{
	struct datascan d = { .bytes = 100,
			      .id = { .run = "r", .run_n = 1, .number = number },
			      .sent_usec = 1000 };
	uint64_t hash = span_casehash(span_str(rcpt));

	sink_total_message(t, t->counts, &d, &hash, 1, true, now);
}

static bool has(const struct outbuf *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static void test_counts(void)
{
	struct sink_total t;
	struct datascan d = {
		.bytes = 1, .has_check = true, .crc = 1, .want_crc = 2, .bare_lf = 3
	};
	struct outbuf b = { 0 };

	sink_total_init(&t, 1, 1000);
	arrive(&t, 1, "a@x", 2000);
	arrive(&t, 3, "a@x", 3000);
	arrive(&t, 3, "A@X", 4000);
	arrive(&t, 3, "b@x", 5000);
	sink_total_message(&t, t.counts, &d, NULL, 0, true, 6000);
	is_int((int64_t)sink_total_get(&t, SINK_messages), 5, "messages");
	is_int((int64_t)sink_total_get(&t, SINK_duplicates), 2, "the same id again is a duplicate");
	is_int((int64_t)sink_total_get(&t, SINK_duplicate_recipients), 1,
	       "for the same recipient only once");
	is_int((int64_t)sink_total_get(&t, SINK_unidentified), 1, "without an id");
	is_int((int64_t)sink_total_get(&t, SINK_corrupt), 1, "with a wrong sum");
	is_int((int64_t)sink_total_lost(&t), 1, "number 2 is missing");
	t.expect = 5;
	is_int((int64_t)sink_total_lost(&t), 3, "or three of five expected");
	sink_total_json(&t, &b);
	ok(has(&b, "\"messages\": 5") && has(&b, "\"distinct\": 2") &&
		   has(&b, "\"duplicates\": 2") && has(&b, "\"lost\": 3") &&
		   has(&b, "\"bytes\": 401") && has(&b, "\"sessions_open\": 0") &&
		   has(&b, "\"content_bare_lf\": 3") && b.p[b.n - 1] == '\n',
	   "json has it all");
	outbuf_free(&b);
	sink_total_free(&t);
}

static void test_expect(void)
{
	struct sink_total t;
	uint64_t n = 0;

	sink_total_init(&t, 1, 1000);
	t.expect = 2;
	arrive(&t, 1, "a@x", 2000);
	arrive(&t, 1, "a@x", 2000);
	is_int(read(t.reached_fd, &n, sizeof(n)), -1, "two messages, one id: not reached");
	arrive(&t, 2, "a@x", 2000);
	is_int(read(t.reached_fd, &n, sizeof(n)), sizeof(n), "two ids: reached");
	sink_total_free(&t);
}

static void test_compare(void)
{
	struct sink_total t;
	char path[200];

	snprintf(path, sizeof(path), "%s/acked", tap_tmpdir());
	FILE *f = fopen(path, "w");
	fputs("r-1\nr-2 a@x b@x\nr-7\nr-8\nnonsense\nr-9", f);
	fclose(f);
	sink_total_init(&t, 1, 1000);
	arrive(&t, 1, "a@x", 2000);
	arrive(&t, 2, "A@x", 2000);
	arrive(&t, 50, "a@x", 2000);
	is_int(sink_total_compare(&t, path), 0, "compare");
	is_int((int64_t)t.acked, 4, "four whole ids; a line without its end says nothing");
	is_int((int64_t)t.acked_lost, 2, "two of them lost");
	is_int((int64_t)t.acked_lost_recipients, 1, "one recipient lost");
	is_int((int64_t)t.acked_bad, 1, "one line is no id");
	is_int((int64_t)sink_total_lost(&t), 2, "lost counts acknowledged ids now");
	is_mem(t.acked_text.p, t.acked_text.n, "r-7\nr-8\n", 8, "and names them");
	arrive(&t, 7, "a@x", 2000);
	sink_total_compare(&t, path);
	is_int((int64_t)sink_total_lost(&t), 1, "compared again after one more came");
	is_int(sink_total_compare(&t, "/nonexistent/file"), -ENOENT, "no file");
	sink_total_free(&t);
}

int main(void)
{
	test_counts();
	test_expect();
	test_compare();
	return plan_done();
}
