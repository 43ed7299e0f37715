#include "queue/dsn_text.h"

#include "core/msg.h"
#include "tests/tap.h"

#include <stdio.h>

static struct buf make(bool mime, enum dsn_kind kind, const struct dsn_rcpt *r, unsigned count)
{
	struct dsn_text t = { .hostname = "gw.example.org",
			      .sender = SPAN("alice@example.org"),
			      .id = 0x1234500,
			      .about = 0x1234600,
			      .wall_now = 1700000000ll * USEC_PER_SEC,
			      .wall_arrival = 1699990000ll * USEC_PER_SEC,
			      .wall_until = 1700400000ll * USEC_PER_SEC,
			      .kind = kind,
			      .mime = mime,
			      .whole = true,
			      .rcpt = r,
			      .count = count };
	struct buf out = { 0 };

	if (dsn_text_head(&t, &out) ||
	    buf_add_span(&out, SPAN("Subject: original\r\n\r\nbody\r\n")) ||
	    dsn_text_tail(&t, &out))
		ok(false, "made");
	return out;
}

static bool has(const struct buf *b, const char *needle)
{
	struct span s = buf_span(b);

	return span_find(s, span_str(needle)) < s.n;
}

static bool only_crlf_and_short(const struct buf *b)
{
	struct span s = buf_span(b);
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++, line++) {
		if (s.p[i] == '\n') {
			if (i == 0 || s.p[i - 1] != '\r' || line > 998)
				return false;
			line = 0;
		} else if (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')) {
			return false;
		} else if (line == 0 && s.p[i] == '.') {
			return false;
		}
	}
	return true;
}

static void failed(void)
{
	struct dsn_rcpt r[] = { { .addr = SPAN("bob@example.net"),
				  .reply = SPAN("550 5.1.1 no such user"),
				  .stage = MSG_AT_RCPT },
				{ .addr = SPAN("eve@example.net"),
				  .orcpt = SPAN("rfc822;eve@old.example"),
				  .reply = SPAN("554 full"),
				  .stage = MSG_AT_DOT } };
	struct buf b = make(false, DSN_FAILED, r, 2);

	ok(has(&b, "From: Mailer-Daemon@gw.example.org\r\n"), "From");
	ok(has(&b, "Subject: Undeliverable mail\r\n"), "Subject");
	ok(has(&b, "To: <alice@example.org>\r\n"), "To");
	ok(has(&b, "Auto-Submitted: auto-replied\r\n"), "Auto-Submitted, RFC 3834");
	ok(has(&b, "<bob@example.net>\r\n550 5.1.1 no such user\r\nduring RCPT\r\n"),
	   "recipient, reply, stage");
	ok(has(&b, "<eve@example.net>\r\n554 full\r\nduring DATA\r\n"), "the second one");
	ok(has(&b, "Subject: original"), "the original");
	ok(only_crlf_and_short(&b), "lines in wire form");
	buf_release(&b);
	b = make(true, DSN_FAILED, r, 2);
	ok(has(&b, "Content-Type: multipart/report; report-type=delivery-status;"),
	   "RFC 3464 report");
	ok(has(&b,
	       "Final-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"),
	   "status of the first");
	ok(has(&b, "Original-Recipient: rfc822;eve@old.example\r\n"), "original recipient");
	ok(has(&b, "Status: 5.0.0\r\nDiagnostic-Code: smtp; 554 full\r\n"),
	   "status made of the class of the reply");
	ok(has(&b, "Content-Type: message/rfc822\r\n"), "the original as a part");
	ok(has(&b, "-dsn--\r\n"), "closing boundary");
	ok(only_crlf_and_short(&b), "lines in wire form");
	buf_release(&b);
}

static void delayed(void)
{
	struct dsn_rcpt r = { .addr = SPAN("bob@example.net"),
			      .reply = SPAN("450 4.2.1 busy"),
			      .stage = MSG_AT_RCPT };
	struct buf b = make(true, DSN_DELAYED, &r, 1);

	ok(has(&b, "Subject: Delayed mail\r\n"), "a warning says so");
	ok(has(&b, "Action: delayed\r\nStatus: 4.2.1\r\n"), "delayed");
	ok(has(&b, "Will-Retry-Until: "), "until when");
	buf_release(&b);
}

static void success(void)
{
	struct dsn_rcpt r = { .addr = SPAN("bob@example.net") };
	struct buf b = make(true, DSN_RELAYED, &r, 1);

	ok(has(&b, "Action: relayed\r\nStatus: 2.0.0\r\n"), "relayed");
	ok(!has(&b, "Diagnostic-Code"), "nothing to diagnose");
	buf_release(&b);
	b = make(true, DSN_DELIVERED, &r, 1);
	ok(has(&b, "Action: delivered\r\nStatus: 2.0.0\r\n"), "delivered");
	buf_release(&b);
}

static void hostile(void)
{
	char reply[3000];
	struct dsn_rcpt r = { .addr = SPAN("a\r\n.\r\nRCPT TO:<x>@example.net"),
			      .reply = { reply, sizeof reply },
			      .stage = 200 };

	for (size_t i = 0; i < sizeof reply; i++)
		reply[i] = i % 7 ? (char)i : '\n';
	struct buf b = make(true, DSN_FAILED, &r, 1);
	ok(!has(&b, "\r\n.\r\n"), "a dot line in an address stays inside the line");
	ok(only_crlf_and_short(&b), "control bytes of a reply are gone, long ones are cut");
	buf_release(&b);
}

int main(void)
{
	failed();
	delayed();
	success();
	hostile();
	return plan_done();
}
