#include "core/ids.h"

#include "tests/tap.h"

#include <errno.h>

int main(void)
{
	char t[ID_TEXT_MAX];
	static const char *const bad[] = { "",
					   "S",
					   "S00000000407CE4920",
					   "S00000000407CE492000",
					   "s00000000407CE49200",
					   "S00000000407ce49200",
					   "S00000000407CE4920G",
					   "S00000000407CE4920 ",
					   "S01000000407CE49200",
					   "C010000137D00000000",
					   "S-0000000407CE49200" };

	is_int((int64_t)id_text(id_make(0x407CE492, 0), t), 19, "length of an S id");
	is_str(t, "S00000000407CE49200", "the example of R 10.1");
	id_text(id_make(0xABCDEF0123456, 0x7f), t);
	is_str(t, "S000ABCDEF01234567F", "counter and section");
	is_int((int64_t)id_client_text(1, 0x0000137D, 0, t), 19, "length of a C id");
	is_str(t, "C010000137D00000000", "the example of R 10.1");
	id_client_text(255, UINT32_MAX, 3, t);
	is_str(t,
	       "CFF"
	       "FFFFFFFF"
	       "00000003",
	       "largest process and counter");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint64_t id = 5;

		ok(id_parse(span_str(bad[i]), &id) == -EINVAL && id == 5, "not an id: '%s'",
		   bad[i]);
	}
	static const uint64_t ids[] = { 0, 1, 255, 256, 0x407CE49200, UINT64_MAX };
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		uint64_t id = 5;

		id_text(ids[i], t);
		ok(id_parse(span_str(t), &id) == 0 && id == ids[i], "there and back: %s", t);
	}
	return plan_done();
}
