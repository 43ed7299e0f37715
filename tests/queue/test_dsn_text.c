#include "queue/dsn_text.h"

#include "core/msg.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>

#define ORIGINAL "Received: from x\r\nSubject: original\r\n\r\nbody\r\n..dot\r\n"
#define EIGHT    "Subject: gr\xc3\xbc\xc3\x9f\x65\r\n\r\nbody \xe2\x82\xac\r\n..dot\r\n"

static struct dsn_text base(enum dsn_kind kind, const struct dsn_rcpt *r, unsigned count)
{
	return (struct dsn_text){ .hostname = "gw.example.org",
				  .sender = SPAN("alice@example.org"),
				  .id = 0x1234500,
				  .about = 0x1234600,
				  .random = 0xabc,
				  .wall_now = 1700000000ll * USEC_PER_SEC,
				  .wall_arrival = 1699990000ll * USEC_PER_SEC,
				  .wall_until = 1700400000ll * USEC_PER_SEC,
				  .kind = kind,
				  .whole = true,
				  .original = SPAN(ORIGINAL),
				  .rcpt = r,
				  .count = count };
}

static struct buf make(const struct dsn_text *t, bool utf8)
{
	struct buf out = { 0 };
	bool needs = !utf8;

	ok(dsn_text(t, &out, &needs) == 0 && needs == utf8, "made, %s SMTPUTF8",
	   utf8 ? "needs" : "without");
	return out;
}

static bool has(const struct buf *b, const char *needle)
{
	struct span s = buf_span(b);

	return span_find(s, span_str(needle)) < s.n;
}

/* Lines end in CRLF, are not too long; no dot but a stuffed one begins a line. */
static bool wire_form(const struct buf *b)
{
	struct span s = buf_span(b);
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++, line++) {
		if (s.p[i] == '\n') {
			if (i == 0 || s.p[i - 1] != '\r' || line > 999)
				return false;
			line = (size_t)-1;
		} else if (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')) {
			return false;
		} else if (line == 0 && s.p[i] == '.' && s.p[i + 1] != '.') {
			return false;
		}
	}
	return s.n && s.p[s.n - 1] == '\n';
}

static bool seven_bit(const struct buf *b)
{
	for (uint32_t i = b->r; i < b->w; i++)
		if (b->p[i] & 0x80)
			return false;
	return true;
}

static const struct dsn_rcpt two[] = { { .addr = SPAN("bob@example.net"),
					 .reply = SPAN("550 5.1.1 no such user"),
					 .remote = { .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } },
					 .stage = MSG_AT_RCPT,
					 .wall_last = 1699999000ll * USEC_PER_SEC },
				       { .addr = SPAN("eve@example.net"),
					 .orcpt = SPAN("rfc822;eve+2Ba@old.example"),
					 .reply = SPAN("554 full"),
					 .remote = { .family = ADDR_IPV6, .ip = { 0x20, 1 } },
					 .stage = MSG_AT_DOT } };

static void plain(void)
{
	struct dsn_text t = base(DSN_FAILED, two, 2);
	struct buf b = make(&t, false);

	ok(has(&b, "From: Mailer-Daemon@gw.example.org\r\n"), "From");
	ok(has(&b, "Subject: Undeliverable mail\r\n"), "Subject");
	ok(has(&b, "To: <alice@example.org>\r\n"), "To");
	ok(has(&b, "Auto-Submitted: auto-replied\r\n"), "Auto-Submitted, RFC 3834");
	ok(has(&b, "Message-ID: <S000000000000123450") || has(&b, "Message-ID: <S"), "Message-ID");
	ok(has(&b,
	       "Hi! This is the smX MTA at gw.example.org. I'm sorry to inform you that a mail\r\n"
	       "from you could not be delivered. See below for details.\r\n"),
	   "the words of R 10.4");
	ok(has(&b,
	       "<bob@example.net>\r\n550 5.1.1 no such user\r\nduring RCPT\r\nby [192.0.2.1]\r\n"),
	   "recipient, reply, stage, host");
	ok(has(&b, "<eve@example.net>\r\n554 full\r\nduring DATA\r\n"), "the second one");
	ok(has(&b, "\r\nYour message follows:\r\n\r\n" ORIGINAL), "the original");
	ok(wire_form(&b) && seven_bit(&b), "lines in wire form");
	buf_release(&b);
	t.original = SPAN(EIGHT);
	b = make(&t, false);
	ok(has(&b,
	       "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n") &&
		   has(&b, EIGHT),
	   "an original with 8 bits");
	buf_release(&b);
}

static void report(void)
{
	struct dsn_text t = base(DSN_FAILED, two, 2);

	t.mime = true;
	t.envid = SPAN("QQ+3D1+2B");
	struct buf b = make(&t, false);
	ok(has(&b, "Content-Type: multipart/report; report-type=delivery-status;"),
	   "RFC 3464 report");
	ok(has(&b,
	       "Original-Envelope-Id: QQ=1+\r\nReporting-MTA: dns; gw.example.org\r\nArrival-Date: "),
	   "fields of the message, ENVID decoded");
	ok(has(&b,
	       "\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
	       "Remote-MTA: dns; [192.0.2.1]\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
	       "Last-Attempt-Date: "),
	   "fields of the first");
	ok(has(&b, "\r\n\r\nOriginal-Recipient: rfc822; eve+a@old.example\r\n"),
	   "original recipient, decoded");
	ok(has(&b,
	       "Status: 5.0.0\r\nRemote-MTA: dns; [IPv6:2001::]\r\nDiagnostic-Code: smtp; 554 full\r\n"),
	   "status made of the class of the reply");
	ok(has(&b,
	       "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" ORIGINAL
	       "\r\n--"),
	   "the original as a part");
	ok(!has(&b, "Will-Retry-Until"), "no promise");
	ok(wire_form(&b) && seven_bit(&b), "lines in wire form");
	buf_release(&b);
	t.whole = false;
	t.original = SPAN("Subject: original\r\n");
	b = make(&t, false);
	ok(has(&b,
	       "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: original\r\n\r\n--"),
	   "the header alone");
	buf_release(&b);
	t.original = SPAN("");
	b = make(&t, false);
	ok(has(&b, "Your message cannot be returned: its content cannot be read."),
	   "an original that cannot be read");
	buf_release(&b);
	t.damaged = true;
	b = make(&t, false);
	ok(has(&b, "Your message cannot be returned: its content is damaged."), "or is damaged");
	buf_release(&b);
	/* It has our boundary, whoever told it. */
	t.random = 0xabcdef;
	t.original = SPAN("A: b\r\n");
	b = make(&t, false);
	struct span text = buf_span(&b);
	size_t at = span_find(text, SPAN("boundary=\"")) + 10;
	char bound[64], evil[200];
	span_cstr(span_head(span_from(text, at), span_chr(span_from(text, at), '"')), bound,
		  sizeof bound);
	buf_release(&b);
	snprintf(evil, sizeof evil, "A: b\r\n\r\n--%s--\r\n", bound);
	t.original = span_str(evil);
	t.whole = true;
	b = make(&t, false);
	snprintf(evil, sizeof evil, "boundary=\"%s\"", bound);
	ok(strlen(bound) > 20 && !has(&b, evil) && has(&b, bound), "an original with our boundary");
	buf_release(&b);
}

/* RFC 3463 2, RFC 3464 2.3.4 */
static void status_codes(void)
{
	static const struct {
		enum dsn_kind kind;
		const char *reply, *want;
	} cases[] = {
		{ DSN_FAILED, "550 5.1.1 no", "5.1.1" },
		{ DSN_FAILED, "550 5.123.456", "5.123.456" },
		{ DSN_FAILED, "550 4.2.0 the code says for good", "5.2.0" },
		{ DSN_FAILED, "451 5.7.1 the code says later", "4.7.1" },
		{ DSN_FAILED, "550 5.9.9999 no", "5.0.0" },
		{ DSN_FAILED, "550 5..1 no", "5.0.0" },
		{ DSN_FAILED, "550 5.1. no", "5.0.0" },
		{ DSN_FAILED, "550 5.1.1.1 no", "5.0.0" },
		{ DSN_FAILED, "550 3.1.1 no", "5.0.0" },
		{ DSN_FAILED, "550", "5.0.0" },
		{ DSN_DELAYED, "450 4.2.1 busy", "4.2.1" },
		{ DSN_DELAYED, "450 5.2.1 busy", "4.2.1" },
		{ DSN_DELAYED, "550 5.2.1 taken for 4yz", "4.4.7" },
		{ DSN_RELAYED, "250 2.1.5 ok", "2.1.5" },
		{ DSN_RELAYED, "250 ok", "2.0.0" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct dsn_rcpt r = { .addr = SPAN("a@x"), .reply = span_str(cases[i].reply) };
		struct dsn_text t = base(cases[i].kind, &r, 1);
		char want[40];

		t.mime = true;
		struct buf b = make(&t, false);
		snprintf(want, sizeof want, "Status: %s\r\n", cases[i].want);
		ok(has(&b, want), "status of '%s' is %s", cases[i].reply, cases[i].want);
		buf_release(&b);
	}
}

/* What we say ourselves is no SMTP reply of somebody else. */
static void our_words(void)
{
	struct dsn_rcpt r[] = { { .addr = SPAN("a@x"),
				  .reply = SPAN("5.3.4 next hop takes messages up to 9 bytes"),
				  .remote = { .family = ADDR_IPV4 },
				  .stage = MSG_AT_CONTENT },
				{ .addr = SPAN("b@x"),
				  .reply = SPAN("451 4.4.1 cannot connect"),
				  .remote = { .family = ADDR_IPV4 },
				  .stage = MSG_AT_CONNECT },
				{ .addr = SPAN("c@x") } };
	struct dsn_text t = base(DSN_FAILED, r, 3);

	t.mime = true;
	struct buf b = make(&t, false);
	ok(has(&b, "Status: 5.3.4\r\nDiagnostic-Code: x-smx; 5.3.4 next hop"), "content");
	ok(has(&b, "Status: 4.4.1\r\nDiagnostic-Code: x-smx; 451 4.4.1 cannot"), "no connection");
	ok(has(&b, "It was tried for 0 d 2 h 46 min."), "for how long");
	ok(has(&b,
	       "Final-Recipient: rfc822; c@x\r\nAction: failed\r\nStatus: 5.4.7\r\nFinal-Log-ID"),
	   "no reply at all");
	ok(!has(&b, "Remote-MTA"), "nobody else said it");
	buf_release(&b);
}

static void other_kinds(void)
{
	struct dsn_rcpt r = two[0];
	struct dsn_text t = base(DSN_DELAYED, &r, 1);

	r.reply = SPAN("450 4.2.1 busy");
	t.mime = true;
	t.whole = false;
	struct buf b = make(&t, false);
	ok(has(&b, "Subject: Delayed mail\r\n"), "a warning says so");
	ok(has(&b, "Action: delayed\r\nStatus: 4.2.1\r\n"), "delayed");
	ok(has(&b, "Will-Retry-Until: "), "until when");
	ok(!has(&b, "It was tried for"), "it is not over");
	buf_release(&b);
	t.kind = DSN_RELAYED;
	r.reply = SPAN("250 2.6.0 queued");
	b = make(&t, false);
	ok(has(&b, "Action: relayed\r\nStatus: 2.6.0\r\n") &&
		   has(&b, "Diagnostic-Code: smtp; 250 2.6.0 queued\r\n"),
	   "relayed");
	ok(!has(&b, "during"), "nothing went wrong");
	buf_release(&b);
	t.kind = DSN_DELIVERED;
	r.reply = SPAN("");
	b = make(&t, false);
	ok(has(&b, "Action: delivered\r\nStatus: 2.0.0\r\n") && !has(&b, "Diagnostic-Code"),
	   "delivered");
	buf_release(&b);
}

/* RFC 6533 */
static void utf8(void)
{
	struct dsn_rcpt r = { .addr = SPAN("j\xc3\xbcrgen+x@example.net"),
			      .orcpt = SPAN("utf-8;\\x{20AC}+2B\xc3\xa9@x"),
			      .reply = SPAN("550 5.1.1 unbekannter Empf\xc3\xa4nger"),
			      .remote = { .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } },
			      .stage = MSG_AT_RCPT };
	struct dsn_text t = base(DSN_FAILED, &r, 1);

	t.mime = t.global = true;
	t.original = SPAN(EIGHT);
	struct buf b = make(&t, false);
	ok(seven_bit(&b) && wire_form(&b), "to an ASCII address: all in 7 bits");
	ok(has(&b, "Content-Type: message/delivery-status\r\n") &&
		   has(&b, "Final-Recipient: utf-8; j\\x{FC}rgen\\x{2B}x@example.net\r\n") &&
		   has(&b, "Original-Recipient: utf-8; \\x{20AC}\\x{2B}\\x{E9}@x\r\n"),
	   "addresses in their 7-bit form");
	ok(has(&b, "Diagnostic-Code: smtp; 550 5.1.1 unbekannter Empf\\x{E4}nger\r\n"),
	   "the reply");
	ok(has(&b,
	       "Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	       "Subject: gr=C3=BC=C3=9Fe\r\n\r\nbody =E2=82=AC\r\n=2Edot\r\n"),
	   "the original");
	ok(has(&b, "<j=C3=BCrgen+x@example.net>\r\n550"), "people read it as it is");
	buf_release(&b);

	t.sender = SPAN("\xe2\x82\xac@example.org");
	b = make(&t, true);
	ok(wire_form(&b), "to an address with UTF-8");
	ok(has(&b, "To: <\xe2\x82\xac@example.org>\r\n"), "To");
	ok(has(&b, "\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n") &&
		   has(&b, "\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--smx-"),
	   "8 bits");
	ok(has(&b,
	       "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n") &&
		   has(&b, "Final-Recipient: utf-8; j\xc3\xbcrgen+x@example.net\r\n") &&
		   has(&b, "Original-Recipient: utf-8; \xe2\x82\xac+\xc3\xa9@x\r\n"),
	   "addresses in UTF-8");
	ok(has(&b, "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" EIGHT),
	   "the original as it is");
	buf_release(&b);
	t.whole = false;
	t.original = SPAN("Subject: gr\xc3\xbc\xc3\x9f\x65\r\n");
	b = make(&t, true);
	ok(has(&b, "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n"),
	   "its header");
	buf_release(&b);
	t.sender = SPAN("alice@example.org");
	b = make(&t, false);
	ok(has(&b,
	       "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n") &&
		   seven_bit(&b),
	   "its header in 7 bits");
	buf_release(&b);
	t.original = SPAN("Subject: plain\r\n");
	b = make(&t, false);
	ok(has(&b, "Content-Type: text/rfc822-headers\r\n"), "ASCII needs none of that");
	buf_release(&b);
}

static void hostile(void)
{
	char reply[3000], addr[1000];
	struct dsn_rcpt r[2] = { { .addr = SPAN("a\r\n.\r\nRCPT TO:<x>@example.net"),
				   .orcpt = SPAN("rfc822;x+0D+0A+2Ey\r\n.\r\n"),
				   .reply = { reply, sizeof reply },
				   .stage = 200 },
				 { .addr = { addr, sizeof addr }, .reply = SPAN(".") } };
	struct dsn_text t = base(DSN_FAILED, r, 2);

	for (size_t i = 0; i < sizeof reply; i++)
		reply[i] = i % 7 ? (char)i : '\n';
	memset(addr, '.', sizeof addr);
	t.envid = SPAN("a+0D+0Ab\r\n.\r\n");
	t.sender = span_of(addr, sizeof addr);
	for (int mime = 0; mime < 2; mime++) {
		t.mime = mime;
		struct buf b = make(&t, false);
		ok(!has(&b, "\r\n.\r\n") && wire_form(&b), "any bytes: no line that is not ours");
		buf_release(&b);
	}
}

/* ---- for a host that does not take it */

static struct buf small(const struct buf *of, bool utf8_too, int want, const char *name)
{
	struct buf out = { 0 };

	ok(dsn_text_small(buf_span(of), utf8_too, &out) == want, "%s", name);
	return out;
}

static void smaller(void)
{
	struct dsn_text t = base(DSN_FAILED, two, 2);

	t.mime = true;
	t.original = SPAN("Subject: gr\xc3\xbc\xc3\x9f\x65\r\nX: y\r\n\r\nbody \xe2\x82\xac\r\n");
	struct buf b = make(&t, false), s = small(&b, false, 0, "an 8-bit message in a report");
	ok(!seven_bit(&b) && seven_bit(&s) && wire_form(&s), "7 bits now");
	ok(has(&s, "\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--") &&
		   has(&s,
		       "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		       "Subject: gr=C3=BC=C3=9Fe\r\nX: y\r\n\r\n--smx-") &&
		   has(&s, "--\r\n") && !has(&s, "body"),
	   "with its header only");
	buf_release(&b);
	b = small(&s, false, -ENOENT, "not a second time");
	buf_release(&s);
	buf_release(&b);

	t.original = SPAN(ORIGINAL);
	b = make(&t, false);
	s = small(&b, false, 0, "a message that is too large");
	ok(has(&s, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
		   "Received: from x\r\nSubject: original\r\n\r\n--smx-"),
	   "its header");
	buf_release(&s);
	buf_release(&b);
	t.original = SPAN("Subject: header alone\r\n");
	b = make(&t, false);
	s = small(&b, false, 0, "a message without a body");
	ok(has(&s, "\r\n\r\nSubject: header alone\r\n\r\n--smx-") && wire_form(&s), "its header");
	buf_release(&s);
	buf_release(&b);

	t.global = true;
	t.original = SPAN(EIGHT);
	b = make(&t, false);
	s = small(&b, false, 0, "a message with SMTPUTF8, encoded");
	ok(has(&s,
	       "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	       "Subject: gr=C3=BC=C3=9Fe\r\n\r\n--"),
	   "its header");
	buf_release(&s);
	buf_release(&b);
	t.sender = SPAN("\xe2\x82\xac@example.org");
	b = make(&t, true);
	s = small(&b, true, 0, "the same, as UTF-8");
	ok(has(&s, "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		   "Subject: gr\xc3\xbc\xc3\x9f\x65\r\n\r\n--"),
	   "its header");
	buf_release(&s);
	buf_release(&b);

	t = base(DSN_FAILED, two, 2);
	t.original = SPAN(EIGHT);
	b = make(&t, false);
	s = small(&b, false, 0, "a plain notice");
	ok(seven_bit(&s) && wire_form(&s) &&
		   has(&s, "Content-Transfer-Encoding: quoted-printable\r\n\r\nHi! This") &&
		   has(&s,
		       "The header of your message follows:\r\n\r\nSubject: gr=C3=BC=C3=9Fe\r\n") &&
		   !has(&s, "body"),
	   "7 bits, header only");
	buf_release(&b);
	b = small(&s, false, -ENOENT, "not a second time");
	buf_release(&s);
	buf_release(&b);
}

int main(void)
{
	plain();
	report();
	status_codes();
	our_words();
	other_kinds();
	utf8();
	hostile();
	smaller();
	return plan_done();
}
