#include "bench/sink_cmd.h"
#include <errno.h>
#include "bench/sink_opts.h"

/* Where the path ends: the first '>' outside quotes. s.n when there is none or a byte may not be
 * there. */
static size_t path_end(struct span s, bool *eight_bit)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0x80)
			*eight_bit = true;
		if (c < ' ' || c == 0x7f)
			return s.n;
		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '>' && !quoted)
			return i;
		else if (!quoted && (c == ' ' || c == '<'))
			return s.n;
	}
	return s.n;
}

int sink_cmd_path(struct span args, struct span keyword, struct sink_cmd_path *out)
{
	if (!span_casestartswith(args, keyword))
		return -EINVAL;
	args = span_from(args, keyword.n);
	if (args.n < 2 || args.p[0] != '<')
		return -EINVAL;
	args = span_from(args, 1);
	*out = (struct sink_cmd_path){ 0 };
	size_t end = path_end(args, &out->eight_bit);
	if (end == args.n)
		return -EINVAL;
	out->addr = span_head(args, end);
	out->params = span_from(args, end + 1);
	if (out->params.n && out->params.p[0] != ' ')
		return -EINVAL;
	return 0;
}

enum param { P_SIZE = 0, P_BODY, P_UTF8, P_RET, P_ENVID, P_NOTIFY, P_ORCPT };

static const struct {
	struct span name;
	enum param param;
	bool rcpt, valued;
	unsigned needs;
} params_known[] = {
	{ SPAN("SIZE"), P_SIZE, false, true, SINK_SIZE },
	{ SPAN("BODY"), P_BODY, false, true, SINK_8BITMIME },
	{ SPAN("SMTPUTF8"), P_UTF8, false, false, SINK_SMTPUTF8 },
	{ SPAN("RET"), P_RET, false, true, SINK_DSN },
	{ SPAN("ENVID"), P_ENVID, false, true, SINK_DSN },
	{ SPAN("NOTIFY"), P_NOTIFY, true, true, SINK_DSN },
	{ SPAN("ORCPT"), P_ORCPT, true, true, SINK_DSN },
};

static int apply(enum param p, struct span value, struct sink_cmd_params *out)
{
	switch (p) {
	case P_SIZE:
		return span_u64(value, UINT64_MAX, &out->size) ? -EINVAL : 0;
	case P_BODY:
		out->body_8bit = span_caseeq(value, SPAN("8BITMIME"));
		return out->body_8bit || span_caseeq(value, SPAN("7BIT")) ? 0 : -EINVAL;
	case P_UTF8:
		out->smtputf8 = true;
		return 0;
	case P_RET:
		return span_caseeq(value, SPAN("FULL")) || span_caseeq(value, SPAN("HDRS"))
			       ? 0
			       : -EINVAL;
	default:
		return value.n ? 0 : -EINVAL;
	}
}

static int one_param(struct span word, unsigned offers, bool rcpt, struct sink_cmd_params *out)
{
	size_t eq = span_chr(word, '=');
	struct span name = span_head(word, eq);

	for (size_t i = 0; i < sizeof(params_known) / sizeof(params_known[0]); i++) {
		if (params_known[i].rcpt != rcpt || !span_caseeq(name, params_known[i].name))
			continue;
		if (!(offers & params_known[i].needs))
			return -ENOTSUP;
		if (params_known[i].valued != (eq < word.n))
			return -EINVAL;
		return apply(params_known[i].param, span_from(word, eq + 1), out);
	}
	return -ENOTSUP;
}

int sink_cmd_params(struct span params, unsigned offers, bool rcpt, struct sink_cmd_params *out)
{
	*out = (struct sink_cmd_params){ 0 };
	for (struct span w = span_word(&params, " "); w.n; w = span_word(&params, " ")) {
		int rc = one_param(w, offers, rcpt, out);
		if (rc)
			return rc;
	}
	return 0;
}

int sink_cmd_bdat(struct span args, uint64_t *size, bool *last)
{
	struct span word = span_word(&args, " ");

	if (span_u64(word, UINT64_C(1) << 40, size))
		return -EINVAL;
	word = span_word(&args, " ");
	*last = span_caseeq(word, SPAN("LAST"));
	return (word.n && !*last) || span_trim(args).n ? -EINVAL : 0;
}
