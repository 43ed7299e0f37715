#include "proto/ehlo.h"

#include "tests/tap.h"

#include <string.h>

static void check_take(void)
{
	static const char *const lines[] = {
		"PIPELINING",
		"size 1000",
		"8BITMIME",
		"AUTH PLAIN LOGIN",
		"AUTH=LOGIN CRAM-MD5",
		"LIMITS MAILMAX=5 RCPTMAX=0 RCPTDOMAINMAX=1000000 OTHER=1",
		"X-UNKNOWN 1",
		"",
		"STARTTLS",
		"CHUNKINGX"
	};
	struct ehlo e = { 0 };

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		ehlo_take(&e, span_str(lines[i]));
	is_int(e.caps,
	       EHLO_PIPELINING | EHLO_SIZE | EHLO_8BITMIME | EHLO_AUTH | EHLO_LIMITS |
		       EHLO_STARTTLS,
	       "caps");
	is_int((int64_t)e.size_max, 1000, "SIZE");
	is_str(e.auth, "PLAIN LOGIN LOGIN CRAM-MD5", "AUTH");
	is_int(e.mail_max, 5, "MAILMAX");
	is_int(e.rcpt_max, 0, "RCPTMAX=0 is no limit");
	is_int(e.rcpt_domain_max, 0, "seven digits are no limit");
	struct ehlo s = { 0 };
	ehlo_take(&s, SPAN("SIZE"));
	ok(s.caps == EHLO_SIZE && !s.size_max, "SIZE alone");
	ehlo_take(&s, SPAN("SIZE 99999999999999999999999"));
	ok(!s.size_max, "SIZE beyond 64 bits is none");
	char words[600] = "AUTH";
	for (int i = 0; i < 50; i++)
		strcat(words, " MECHANISM");
	ehlo_take(&s, span_str(words));
	ok(strlen(s.auth) < EHLO_AUTH_MAX && s.auth[strlen(s.auth) - 1] == 'M',
	   "too many mechanisms");
}

static void check_write(void)
{
	struct ehlo e = { .caps = EHLO_PIPELINING | EHLO_SIZE | EHLO_LIMITS,
			  .size_max = 5000,
			  .mail_max = 7,
			  .rcpt_max = 8 };
	struct buf b = { 0 };

	is_int(ehlo_write(&e, SPAN("h.test"), &b), 0, "write");
	static const char want[] =
		"250-h.test\r\n250-PIPELINING\r\n250-SIZE 5000\r\n250 LIMITS MAILMAX=7 RCPTMAX=8\r\n";
	is_mem(b.p, buf_len(&b), want, strlen(want), "reply");
	buf_release(&b);
	e.caps = 0;
	ehlo_write(&e, SPAN("h.test"), &b);
	is_mem(b.p, buf_len(&b), "250 h.test\r\n", 12, "nothing offered");
	buf_release(&b);
}

int main(void)
{
	check_take();
	check_write();
	return plan_done();
}
