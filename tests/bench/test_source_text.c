#include "bench/source_text.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/datascan.h"

static struct source_opts options(void)
{
	return (struct source_opts){ .rcpts = 1,
				     .length = 1024,
				     .seed = 1,
				     .run = "run",
				     .from = "from@a.test",
				     .to = "to@b.test",
				     .hostname = "h.test" };
}

static void is_text(struct outbuf *b, const char *want, const char *name)
{
	outbuf_mem(b, "", 1);
	is_str(b->p, want, name);
	b->n = 0;
}

static void test_addresses(void)
{
	struct source_opts o = options();
	struct source_text t = { .opts = &o };
	struct outbuf b = { 0 };

	source_text_mail(&t, &b, 5);
	is_text(&b, "MAIL FROM:<from@a.test>\r\n", "sender as given");
	source_text_rcpt(&t, &b, 5, 0);
	is_text(&b, "RCPT TO:<to@b.test>\r\n", "recipient as given");
	o.rcpts = 3;
	source_text_rcpt_addr(&t, &b, 5, 2);
	is_text(&b, "3to@b.test", "one of several");
	o.rcpt_number = true;
	source_text_rcpt_addr(&t, &b, 5, 2);
	is_text(&b, "15to@b.test", "with a number of its own");
	o.rcpt_number = false;
	o.rcpts = 1;
	o.rcpt_id = true;
	source_text_rcpt_addr(&t, &b, 5, 0);
	is_text(&b, "to+run-5@b.test", "with the id");
	o.rcpt_id = false;
	o.to = "user";
	source_text_rcpt_addr(&t, &b, 5, 0);
	is_text(&b, "user", "without a domain");
	o.mail_args = "BODY=8BITMIME";
	o.from = "";
	source_text_mail(&t, &b, 5);
	is_text(&b, "MAIL FROM:<> BODY=8BITMIME\r\n", "null sender and parameters");
	outbuf_free(&b);
}

static void test_spread(void)
{
	struct source_opts o = options();
	struct source_text t = { .opts = &o };
	struct outbuf b = { 0 }, again = { 0 };
	unsigned seen[10] = { 0 }, used = 0, wrong = 0;

	o.domains = 10;
	o.senders = 10;
	for (uint32_t n = 1; n <= 1000; n++) {
		unsigned d = 99, s = 99;
		source_text_rcpt(&t, &b, n, 0);
		source_text_mail(&t, &b, n);
		outbuf_mem(&b, "", 1);
		if (sscanf(b.p, "RCPT TO:<to@d%u.b.test>\r\nMAIL FROM:<from-%u@a.test>", &d, &s) !=
			    2 ||
		    d > 9 || s > 9)
			wrong++;
		else
			seen[d]++;
		b.n = 0;
	}
	for (unsigned i = 0; i < 10; i++)
		used += seen[i] > 50;
	is_int(wrong, 0, "all senders and domains are in range");
	is_int(used, 10, "all domains are used");
	source_text_rcpt(&t, &b, 77, 0);
	source_text_rcpt(&t, &again, 77, 0);
	is_mem(b.p, b.n, again.p, again.n, "the same message has the same recipient again");
	outbuf_free(&b);
	outbuf_free(&again);
}

/* The receiver finds end, id and a right sum. */
static void content(struct source_opts *o, const char *name)
{
	struct source_text t;
	struct outbuf b = { 0 };
	struct datascan d = { .raw = o->bdat };

	is_int(source_text_init(&t, o), 0, name);
	source_text_head(&t, &b, 12, 3456);
	outbuf_mem(&b, t.tail, t.tail_n);
	size_t used = datascan_feed(&d, b.p, b.n);
	ok(used == b.n && (o->bdat || d.state == DATASCAN_END), "%s: ends where it should", name);
	ok(d.id.number == 12 && strcmp(d.id.run, "run") == 0 && d.sent_usec == 3456,
	   "%s: id and time", name);
	ok(d.has_check && !datascan_corrupt(&d), "%s: the sum is right", name);
	ok(!d.bare_cr && !d.bare_lf && !d.long_lines && !d.nul, "%s: clean", name);
	outbuf_free(&b);
	source_text_free(&t);
}

static void test_contents(void)
{
	static const uint64_t lengths[] = { 0, 2, 3, 73, 74, 75, 76, 77, 150, 1024, 100000 };
	struct source_opts o = options();
	char name[64], path[200];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int bdat = 0; bdat < 2; bdat++) {
			struct source_text t;
			o.length = lengths[i];
			o.bdat = bdat;
			snprintf(name, sizeof(name), "%llu bytes%s", (unsigned long long)o.length,
				 bdat ? ", BDAT" : "");
			content(&o, name);
			source_text_init(&t, &o);
			if (bdat)
				is_int((int64_t)t.tail_n, (int64_t)o.length + 2,
				       "length of the body");
			source_text_free(&t);
		}
	o = options();
	snprintf(path, sizeof(path), "%s/mail", tap_tmpdir());
	FILE *f = fopen(path, "w");
	fputs("Subject: x\n\n.dot\n..\n.\nlast without end", f);
	fclose(f);
	o.file = path;
	content(&o, "from a file");
	o.file = "/nonexistent/file";
	struct source_text t;
	is_int(source_text_init(&t, &o), -ENOENT, "no file");
}

int main(void)
{
	test_addresses();
	test_spread();
	test_contents();
	return plan_done();
}
