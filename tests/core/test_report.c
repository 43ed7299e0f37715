#include "core/report.h"

#include "tests/resolver/map_fixture.h"

int main(void)
{
	struct report r = { 0 };
	char token[REPORT_TOKEN_MAX], longer[200];

	report_error(&r, "file", 7, "bad %s", "thing");
	report_warning(&r, "file", 0, "odd");
	is_str(fixture_report(&r), "file:7: bad thing\nfile: warning: odd\n", "lines");
	is_int(r.error_count, 1, "one error");
	is_int(r.warning_count, 1, "one warning");
	for (int i = 0; i < 100; i++)
		report_error(&r, "f", 1, "x");
	is_int(r.error_count, 101, "all are counted");
	unsigned lines = 0;
	for (size_t i = 0; i < buf_len(&r.text); i++)
		lines += buf_span(&r.text).p[i] == '\n';
	is_int(lines, REPORT_LINES_MAX, "only some are kept");
	report_free(&r);

	is_str(report_token(SPAN("a\033\n\xff\"z"), token), "a???\"z",
	       "foreign bytes are not printed");
	memset(longer, 'y', sizeof longer);
	report_token(span_of(longer, sizeof longer), token);
	ok(strlen(token) < REPORT_TOKEN_MAX && !strcmp(token + strlen(token) - 3, "..."),
	   "long ones are cut");
	is_str(report_token(SPAN(""), token), "", "an empty one");
	return plan_done();
}
