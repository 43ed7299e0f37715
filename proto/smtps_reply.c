#include "proto/smtps_reply.h"

#include "core/ids.h"
#include "proto/smtps_session.h"

#include <stdio.h>

static const char *const table[SMTPS_R_COUNT] = {
	[SMTPS_R_OK] = "250 2.0.0 OK",
	[SMTPS_R_RESET] = "250 2.0.0 Reset",
	[SMTPS_R_BYE] = "221 2.0.0 Bye",
	[SMTPS_R_HELP] =
		"214-2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET\r\n214 2.0.0 NOOP VRFY HELP QUIT; RFC 5321",
	[SMTPS_R_VRFY] = "252 2.5.2 Cannot verify a user, but will take mail and try",
	[SMTPS_R_NO_EXPN] = "502 5.5.1 EXPN is not offered",
	[SMTPS_R_SENDER_OK] = "250 2.1.0 Sender ok",
	[SMTPS_R_RCPT_OK] = "250 2.1.5 Recipient ok",
	[SMTPS_R_START_DATA] = "354 End data with CRLF.CRLF",
	[SMTPS_R_CHUNK_OK] = "250 2.0.0 Chunk received",
	[SMTPS_R_ACCEPTED] = "250 2.0.0 accepted",
	[SMTPS_R_TIMEOUT] = "421 4.4.2 Timeout",
	[SMTPS_R_STOPPING] = "421 4.3.2 Shutting down",
	[SMTPS_R_UNAVAILABLE] = "421 4.3.2 System is not available now",
	[SMTPS_R_LIMIT_BAD] = "421 4.7.0 Too many bad commands",
	[SMTPS_R_LIMIT_INVALID] = "421 4.7.0 Too many invalid recipients",
	[SMTPS_R_LIMIT_NOPS] = "421 4.7.0 Too many commands without a transaction",
	[SMTPS_R_LIMIT_RCPTS] = "421 4.7.0 Too many recipients in this session",
	[SMTPS_R_LIMIT_TRANSACTIONS] = "421 4.7.0 Too many transactions in this session",
	[SMTPS_R_LIMIT_TIME] = "421 4.7.0 Session lasts too long",
	[SMTPS_R_PROXY] = "421 4.7.0 PROXY header expected",
	[SMTPS_R_BUSY] = "452 4.3.1 Insufficient system resources, try later",
	[SMTPS_R_LOCAL] = "451 4.3.0 Local error, try later",
	[SMTPS_R_TOO_MANY_RCPTS] = "452 4.5.3 Too many recipients",
	[SMTPS_R_UNKNOWN] = "500 5.5.1 Command not recognized",
	[SMTPS_R_LINE_LONG] = "500 5.5.2 Line too long",
	[SMTPS_R_BARE] = "500 5.5.2 Lines must end with CRLF",
	[SMTPS_R_NUL] = "500 5.5.2 NUL in a command",
	[SMTPS_R_NO_ARGUMENT] = "501 5.5.4 No argument allowed",
	[SMTPS_R_NEED_ARGUMENT] = "501 5.5.4 Argument required",
	[SMTPS_R_HELO_SYNTAX] = "501 5.5.4 Invalid domain name",
	[SMTPS_R_HELO_OURS] = "550 5.7.1 That is not your name",
	[SMTPS_R_MAIL_SYNTAX] = "501 5.5.2 Syntax: MAIL FROM:<address>",
	[SMTPS_R_RCPT_SYNTAX] = "501 5.5.2 Syntax: RCPT TO:<address>",
	[SMTPS_R_SENDER_SYNTAX] = "501 5.1.7 Bad sender address syntax",
	[SMTPS_R_ADDRESS_SYNTAX] = "501 5.1.3 Bad recipient address syntax",
	[SMTPS_R_SENDER_LONG] = "501 5.1.7 Path too long",
	[SMTPS_R_ADDRESS_LONG] = "501 5.1.3 Path too long",
	[SMTPS_R_SENDER_DOMAIN] = "553 5.1.7 Domain name required",
	[SMTPS_R_ADDRESS_DOMAIN] = "553 5.1.3 Domain name required",
	[SMTPS_R_NEED_UTF8] = "553 5.6.7 Address needs SMTPUTF8",
	[SMTPS_R_PARAM_SYNTAX] = "501 5.5.4 Invalid parameter",
	[SMTPS_R_PARAM_UNKNOWN] = "555 5.5.4 Unsupported parameter",
	[SMTPS_R_SIZE] = "552 5.3.4 Message too big",
	[SMTPS_R_NEED_HELO] = "503 5.5.1 EHLO or HELO first",
	[SMTPS_R_NESTED_MAIL] = "503 5.5.1 Sender given already",
	[SMTPS_R_NEED_MAIL] = "503 5.5.1 MAIL first",
	[SMTPS_R_NEED_RCPT] = "554 5.5.1 No valid recipients",
	[SMTPS_R_SEQUENCE] = "503 5.5.1 Bad sequence of commands",
	[SMTPS_R_IN_CHUNKS] = "503 5.5.1 BDAT has begun",
	[SMTPS_R_NEED_BDAT] = "503 5.5.1 BINARYMIME needs BDAT",
	[SMTPS_R_CHUNK_SYNTAX] = "501 5.5.4 Syntax: BDAT size [LAST]",
	[SMTPS_R_CHUNK_SIZE] = "552 5.3.4 Chunk too big",
	[SMTPS_R_REFUSED] = "503 5.5.1 Connection was refused, only QUIT",
	[SMTPS_R_EARLY] = "554 5.5.1 You talk before the greeting",
	[SMTPS_R_XCLIENT_DENIED] = "550 5.7.0 XCLIENT is not allowed",
	[SMTPS_R_XCLIENT_SYNTAX] = "501 5.5.4 Bad XCLIENT parameter",
	[SMTPS_R_DOT_SIZE] = "552 5.3.4 message too big",
	[SMTPS_R_DOT_HOPS] = "554 5.4.6 too many hops, this looks like a mail loop",
	[SMTPS_R_DOT_BARE] = "550 5.6.0 CR or LF alone in the message",
	[SMTPS_R_DOT_NUL] = "550 5.6.0 NULs around a dot in a line of the message",
	[SMTPS_R_DOT_LINE] = "550 5.6.0 line too long in the message",
	[SMTPS_R_DOT_HEADER] = "552 5.3.4 header of the message too big",
	[SMTPS_R_DOT_STORE] = "451 4.3.0 message could not be stored, try later",
	[SMTPS_R_DOT_SPACE] = "452 4.3.1 no space for the message, try later",
	[SMTPS_R_DOT_QMGR] = "451 4.3.0 queue is not available, try later",
};

enum { TEXT_MAX = 500 }; /* RFC 5321 4.5.3.1.5: 512 with code and CRLF */

/* Lines of the reply that begins at byte `at` of the output become 4yz 4.y.z with flag soft_bounce.
 */
static void soften(struct smtps_session *s, size_t at)
{
	char *p = s->out.p + s->out.r + at;
	size_t n = buf_len(&s->out) - at;

	if (!(smtps_session_opt(s)->flags & SMTPS_F_SOFT_BOUNCE) || !n || p[0] != '5')
		return;
	p[0] = '4';
	if (n > 5 && p[4] == '5' && p[5] == '.')
		p[4] = '4';
}

/* A line as it is, with its CRLF. */
static void put_line(struct smtps_session *s, struct span line)
{
	size_t at = buf_len(&s->out);

	smtps_session_put(s, line);
	if (buf_len(&s->out) > at)
		soften(s, at);
}

void smtps_reply(struct smtps_session *s, enum smtps_reply r)
{
	char line[TEXT_MAX + 16];
	size_t n = strlen(table[r]);

	memcpy(line, table[r], n);
	memcpy(line + n, "\r\n", 2);
	put_line(s, span_of(line, n + 2));
}

void smtps_reply_end(struct smtps_session *s, enum smtps_reply r)
{
	smtps_reply(s, r);
	smtps_session_end(s);
}

/* head "250 2.0.0", id, text. */
static void with_id(struct smtps_session *s, struct span head, struct span text, uint64_t ta,
		    const char *sep)
{
	char line[TEXT_MAX + 64], id[ID_TEXT_MAX];
	int n;

	id_text(ta, id);
	n = snprintf(line, sizeof line, "%.*s %s%s %.*s\r\n", (int)head.n, head.p, id, sep,
		     (int)(text.n < TEXT_MAX - 40 ? text.n : TEXT_MAX - 40), text.p);
	put_line(s, span_of(line, (size_t)n));
}

void smtps_reply_ta(struct smtps_session *s, enum smtps_reply r, uint64_t ta)
{
	struct span all = span_str(table[r]);

	with_id(s, span_head(all, 9), span_from(all, 10), ta, r == SMTPS_R_ACCEPTED ? "" : ":");
}

/* What a sibling said goes out as printable ASCII. */
static struct span cleaned(struct span text, char dst[static TEXT_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < text.n && n < TEXT_MAX; i++)
		dst[n++] = text.p[i] < 32 || text.p[i] > 126 ? '?' : text.p[i];
	return span_of(dst, n);
}

/* "4.3.0 text" with the class of the code: its length before the text, 0 when it has none. */
static size_t enhanced(struct span text, char class)
{
	size_t i = 2;

	if (text.n < 5 || text.p[0] != class || text.p[1] != '.')
		return 0;
	for (unsigned part = 0; part < 2; part++) {
		size_t from = i;

		while (i < text.n && ascii_isdigit(text.p[i]))
			i++;
		if (i == from || i - from > 3)
			return 0;
		if (part == 0 && (i == text.n || text.p[i++] != '.'))
			return 0;
	}
	return i == text.n || text.p[i] == ' ' ? i : 0;
}

void smtps_reply_code_ta(struct smtps_session *s, unsigned code, struct span text, uint64_t ta)
{
	char clean[TEXT_MAX], head[32];
	struct span t = cleaned(text, clean);

	if (code < 400 || code > 599)
		code = 451;
	char class = (char)('0' + code / 100);
	size_t n = enhanced(t, class);
	int h = snprintf(head, sizeof head, "%u %.*s", code, n ? (int)n : 5,
			 n              ? t.p
			 : class == '4' ? "4.3.0"
					: "5.3.0");
	with_id(s, span_of(head, (size_t)h), span_trim(span_from(t, n)), ta, ":");
}

struct span smtps_reply_text_of(enum smtps_reply r)
{
	return span_str(table[r]);
}

unsigned smtps_reply_text_code(const struct smtps_session *s, struct span whole)
{
	uint64_t code;

	if (whole.n < 3 || span_u64(span_head(whole, 3), 599, &code) || code < 400 ||
	    (whole.n > 3 && whole.p[3] != ' '))
		code = 550;
	if (code >= 500 && (smtps_session_opt(s)->flags & SMTPS_F_SOFT_BOUNCE))
		code -= 100;
	return (unsigned)code;
}

unsigned smtps_reply_code(const struct smtps_session *s, enum smtps_reply r)
{
	return smtps_reply_text_code(s, span_str(table[r]));
}

void smtps_reply_text(struct smtps_session *s, struct span whole)
{
	char clean[TEXT_MAX], line[TEXT_MAX + 32];
	struct span t = cleaned(whole, clean);
	uint64_t code;
	int n;

	if (t.n < 3 || span_u64(span_head(t, 3), 599, &code) || code < 400 ||
	    (t.n > 3 && t.p[3] != ' ')) {
		n = snprintf(line, sizeof line, "550 5.7.1 %.*s\r\n", (int)t.n, t.p);
	} else {
		struct span rest = span_from(t, 4);

		/* RFC 2034 4: every such reply has an enhanced code. */
		const char *code_of = enhanced(rest, t.p[0]) ? ""
				      : t.p[0] == '4'        ? "4.7.1 "
							     : "5.7.1 ";
		n = snprintf(line, sizeof line, "%.3s %s%.*s\r\n", t.p, code_of, (int)rest.n,
			     rest.p);
	}
	put_line(s, span_of(line, (size_t)n));
}
