#include "queue/qadmin_words.h"

struct span qadmin_words_next(struct span *args)
{
	return span_word(args, " \t");
}

bool qadmin_words_take(struct span *args, const char *name)
{
	struct span rest = *args;

	if (!span_eq(span_word(&rest, " \t"), span_str(name)))
		return false;
	*args = rest;
	return true;
}

struct select *qadmin_words_select(struct ctl_request *rq, struct span args, bool needed)
{
	struct select_error e;
	struct select *s = select_parse(span_trim(args), &e);

	if (!s) {
		buf_printf(rq->out, "error: usage: %s (at byte %zu of the selector)\n", e.text,
			   e.at + 1);
		return NULL;
	}
	if (needed && select_is_empty(s)) {
		select_free(s);
		buf_add_span(
			rq->out,
			SPAN("error: usage: which recipients? Give a selector; all means all\n"));
		return NULL;
	}
	return s;
}
