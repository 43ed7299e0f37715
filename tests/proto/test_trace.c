#include "proto/trace.h"

#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *received(const struct trace *t)
{
	struct buf b = { 0 };

	is_int(trace_received(t, &b), 0, "written");
	char *s = strndup(b.p, buf_len(&b));
	buf_release(&b);
	return s;
}

int main(void)
{
	struct trace t = { .helo = SPAN("client.test"),
			   .name = SPAN(""),
			   .hostname = SPAN("gw.test"),
			   .tls = SPAN(""),
			   .rcpt = SPAN(""),
			   .ta = 0x1234,
			   .flags = TRACE_EHLO };

	setenv("TZ", "UTC", 1);
	tzset();
	addr_parse(SPAN("192.0.2.1"), &t.client);
	char *s = received(&t);
	is_str(s,
	       "Received: from client.test ([192.0.2.1])\r\n\tby gw.test (smX/" SMX_VERSION
	       ") with ESMTP\r\n"
	       "\tid S000000000000001234; Thu, 1 Jan 1970 00:00:00 +0000\r\n",
	       "plain");
	free(s);
	t.name = SPAN("name.test");
	t.tls = SPAN("TLS=TLSv1.3, cipher=X, bits=256, verify=NO");
	t.rcpt = SPAN("a@b.test");
	t.flags = TRACE_EHLO | TRACE_TLS | TRACE_AUTH;
	addr_parse(SPAN("2001:db8::1"), &t.client);
	s = received(&t);
	is_str(s,
	       "Received: from client.test (name.test [IPv6:2001:db8::1])\r\n"
	       "\tby gw.test (smX/" SMX_VERSION ") with ESMTPSA\r\n"
	       "\t(TLS=TLSv1.3, cipher=X, bits=256, verify=NO)\r\n"
	       "\tid S000000000000001234\r\n\tfor <a@b.test>; Thu, 1 Jan 1970 00:00:00 +0000\r\n",
	       "everything");
	free(s);
	t.helo = SPAN("a)\r\n\0\xff;b (x");
	t.name = SPAN("x\r\ny");
	t.rcpt = SPAN("a\r\nX: y@b.test");
	s = received(&t);
	ok(strstr(s, "from a??") == s + 10, "nothing of HELO can end the field");
	ok(!strstr(s, "for <"), "an odd recipient is left out");
	ok(!strstr(s, "X: y") && !memchr(s, 0xff, strlen(s)), "all is printable");
	free(s);
	is_str(trace_protocol(0), "SMTP", "HELO");
	is_str(trace_protocol(TRACE_EHLO | TRACE_TLS), "ESMTPS", "TLS");
	is_str(trace_protocol(TRACE_EHLO | TRACE_AUTH), "ESMTPA", "AUTH");
	is_str(trace_protocol(TRACE_EHLO | TRACE_UTF8 | TRACE_TLS), "UTF8SMTPS", "SMTPUTF8");
	return plan_done();
}
