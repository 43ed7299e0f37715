#include "queue/route_text.h"
#include "tests/tap.h"

int main(void)
{
	static const struct {
		const char *text, *want; /* want NULL: refused */
		const char *why;
	} cases[] = {
		{ "[192.0.2.1]", "[192.0.2.1]", "" },
		{ "[192.0.2.1]:2525", "[192.0.2.1]:2525", "" },
		{ "esmtp:[192.0.2.1]", "[192.0.2.1]", "" },
		{ "ESMTP:[IPv6:2001:db8::1]:25", "[2001:db8::1]:25", "" },
		{ "[192.0.2.1], [192.0.2.2]:26", "[192.0.2.1],[192.0.2.2]:26", "" },
		{ "lmtp:", "lmtp:", "" },
		{ "lmtp:[127.0.0.1]:24", "lmtp:[127.0.0.1]:24", "" },
		{ "discard:", "discard:", "" },
		{ "", NULL, "no address in brackets" },
		{ "esmtp:", NULL, "no address in brackets" },
		{ "mail.example.com", NULL, "names are not looked up" },
		{ "[mail.example.com]", NULL, "no IP address" },
		{ "[192.0.2.1],", NULL, "no address in brackets" },
		{ "[192.0.2.1", NULL, "no address in brackets" },
		{ "[192.0.2.1]25", NULL, "no port" },
		{ "[192.0.2.1]:0", NULL, "no port" },
		{ "[192.0.2.1]:99999", NULL, "no port" },
		{ "discard:[192.0.2.1]", NULL, "takes no host" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct route r;
		struct buf b = { 0 };
		char why[200] = "";
		int rc = route_text_parse(span_str(cases[i].text), &r, why, sizeof why);

		if (!cases[i].want) {
			if (!ok(rc && strstr(why, cases[i].why), "'%s' is refused", cases[i].text))
				diag("%s", why);
			continue;
		}
		if (!rc)
			route_text_put(&r, &b);
		buf_add(&b, "", 1);
		is_str(b.p, cases[i].want, cases[i].text);
		buf_release(&b);
	}
	struct buf b = { 0 };
	route_text_put(NULL, &b);
	ok(span_eq(buf_span(&b), SPAN("none")), "no route");
	buf_release(&b);
	struct buf many = { 0 };
	struct route r;
	char why[200];
	for (unsigned i = 0; i <= ROUTE_HOSTS_MAX; i++)
		buf_printf(&many, "%s[10.0.0.%u]", i ? "," : "", i);
	ok(route_text_parse(buf_span(&many), &r, why, sizeof why) && strstr(why, "more than"),
	   "too many hosts");
	buf_release(&many);
	return plan_done();
}
