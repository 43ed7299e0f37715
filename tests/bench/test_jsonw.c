#include "bench/jsonw.h"

#include "tests/tap.h"

#include <math.h>

static struct outbuf b;
static struct jsonw w;

static void is_json(const char *want, const char *name)
{
	outbuf_mem(&b, "", 1);
	is_str(b.p, want, name);
	b.n = 0;
	jsonw_init(&w, &b);
}

int main(void)
{
	jsonw_init(&w, &b);
	jsonw_open(&w, NULL);
	jsonw_close(&w);
	is_json("{}", "empty object");

	jsonw_open(&w, NULL);
	jsonw_u64(&w, "a", 18446744073709551615u);
	jsonw_u64(&w, "z", 0);
	jsonw_num(&w, "b", 1.5, 3);
	jsonw_num(&w, "nan", NAN, 3);
	jsonw_close(&w);
	is_json("{\"a\": 18446744073709551615, \"z\": 0, \"b\": 1.500, \"nan\": null}", "numbers");

	jsonw_str(&w, NULL, "a\"b\\c\n\0\x7f\xff", 9);
	is_json("\"a\\\"b\\\\c\\u000a\\u0000\\u007f\\u00ff\"", "text with any byte");

	jsonw_open(&w, NULL);
	jsonw_list(&w, "l");
	jsonw_u64(&w, NULL, 1);
	jsonw_list(&w, NULL);
	jsonw_list_end(&w);
	jsonw_open(&w, NULL);
	jsonw_str(&w, "k", "v", 1);
	jsonw_close(&w);
	jsonw_list_end(&w);
	jsonw_u64(&w, "after", 2);
	jsonw_close(&w);
	is_json("{\"l\": [1, [], {\"k\": \"v\"}], \"after\": 2}",
		"lists and objects in each other");
	outbuf_free(&b);
	return plan_done();
}
