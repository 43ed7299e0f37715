#include "proto/param.h"

#include "core/envelope.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct row {
	const char *in;
	bool utf8;
	const char *want; /* "KEY=VALUE;KEY;" or NULL: malformed somewhere */
};

static const struct row rows[] = {
	{ "", false, "" },
	{ "  ", false, "" },
	{ " SIZE=100", false, "SIZE=100;" },
	{ " SIZE=100 BODY=8BITMIME ", false, "SIZE=100;BODY=8BITMIME;" },
	{ " SMTPUTF8", false, "SMTPUTF8;" },
	{ " X-A=b  Y", false, "X-A=b;Y;" },
	{ "SIZE=1", false, NULL },
	{ " =1", false, NULL },
	{ " A=", false, NULL },
	{ " A=b=c", false, NULL },
	{ " -A", false, NULL },
	{ " A_B", false, NULL },
	{ " A=\x7f", false, NULL },
	{ " A=b\tc", false, NULL },
	{ " A=\xc3\xa4", false, NULL },
	{ " A=\xc3\xa4", true, "A=\xc3\xa4;" },
	{ " \xc3\xa4=1", true, NULL },
	{ "\tA", false, NULL },
};

static void check(const struct row *t)
{
	struct span in = span_str(t->in);
	struct param p;
	char got[200] = "";
	int rc;

	while ((rc = param_next(&in, t->utf8, &p)) == 1) {
		size_t n = strlen(got);

		snprintf(got + n, sizeof got - n, "%.*s%s%.*s;", (int)p.key.n, p.key.p,
			 p.value.p ? "=" : "", (int)p.value.n, p.value.p ? p.value.p : "");
	}
	if (t->want) {
		is_int(rc, 0, t->in);
		is_str(got, t->want, t->in);
	} else {
		is_int(rc, -EINVAL, t->in);
	}
}

struct text_row {
	const char *in;
	size_t max;
	bool good;
};

static const struct text_row xtexts[] = {
	{ "abc", 100, true },    { "a+2Bb", 100, true }, { "a+20b", 100, true },
	{ "", 100, false },      { "a=b", 100, false },  { "a+2b", 100, false },
	{ "a+2", 100, false },   { "a+", 100, false },   { "a+0Ab", 100, false },
	{ "a+7Fb", 100, false }, { "a b", 100, false },  { "\xc3\xa4", 100, false },
	{ "12345", 5, true },    { "123456", 5, false }, { "+41+42", 2, true },
};

static const struct {
	const char *in;
	bool utf8, good;
} orcpts[] = {
	{ "rfc822;a@b.test", false, true },
	{ "rfc822;a+2Bc@b.test", false, true },
	{ "x-my-type;a", false, true },
	{ "rfc822;", false, false },
	{ ";a", false, false },
	{ "rfc822", false, false },
	{ "rfc 822;a", false, false },
	{ "rfc822;a=b", false, false },
	{ "utf-8;\xc3\xa4@b.test", false, false },
	{ "utf-8;\xc3\xa4@b.test", true, true },
	{ "utf-8;a\\x{E4}@b.test", true, true },
	{ "utf-8;a\\x{E4}@b.test", false, true },
	{ "UTF-8;a+2Bb@b.test", true, true },
	{ "utf-8;\xc3\x28@b.test", true, false },
	{ "utf-8;\xe2\x82@b.test", true, false },
	{ "rfc822;\xc3\xa4@b.test", true, false },
};

static const struct {
	const char *in;
	int rc;
	uint64_t size;
	bool last;
} chunks[] = {
	{ " 0", 0, 0, false },
	{ " 86", 0, 86, false },
	{ " 86 LAST", 0, 86, true },
	{ "  86  last  ", 0, 86, true },
	{ " 9223372036854775807", 0, INT64_MAX, false },
	{ " 9223372036854775808", -ERANGE, 0, false },
	{ " 99999999999999999999999", -ERANGE, 0, false },
	{ "", -EINVAL, 0, false },
	{ " ", -EINVAL, 0, false },
	{ " LAST", -EINVAL, 0, false },
	{ " 1 LOST", -EINVAL, 0, false },
	{ " 1 LAST x", -EINVAL, 0, false },
	{ " -1", -EINVAL, 0, false },
	{ " +1", -EINVAL, 0, false },
	{ " 1x", -EINVAL, 0, false },
	{ " 0x1", -EINVAL, 0, false },
};

static const struct {
	const char *in;
	unsigned bits;
} notifies[] = {
	{ "NEVER", ENV_NOTIFY_NEVER },
	{ "success", ENV_NOTIFY_SUCCESS },
	{ "SUCCESS,FAILURE,DELAY", ENV_NOTIFY_SUCCESS | ENV_NOTIFY_FAILURE | ENV_NOTIFY_DELAY },
	{ "FAILURE,FAILURE", ENV_NOTIFY_FAILURE },
	{ "NEVER,SUCCESS", 0 },
	{ "", 0 },
	{ "SUCCESS,", 0 },
	{ ",SUCCESS", 0 },
	{ "OFTEN", 0 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check(&rows[i]);
	for (size_t i = 0; i < sizeof xtexts / sizeof xtexts[0]; i++)
		ok(param_xtext_ok(span_str(xtexts[i].in), xtexts[i].max) == xtexts[i].good,
		   "xtext %s", xtexts[i].in);
	for (size_t i = 0; i < sizeof orcpts / sizeof orcpts[0]; i++)
		ok(param_orcpt_ok(span_str(orcpts[i].in), 500, orcpts[i].utf8) == orcpts[i].good,
		   "orcpt %s", orcpts[i].in);
	for (size_t i = 0; i < sizeof notifies / sizeof notifies[0]; i++)
		is_int(param_notify(span_str(notifies[i].in)), notifies[i].bits, notifies[i].in);
	for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
		uint64_t size = 0;
		bool last = false;
		int rc = param_chunk(span_str(chunks[i].in), &size, &last);

		ok(rc == chunks[i].rc && (rc || (size == chunks[i].size && last == chunks[i].last)),
		   "BDAT%s", chunks[i].in);
	}
	return plan_done();
}
