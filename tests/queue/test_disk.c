#include "queue/disk.h"

#include "tests/tap.h"

int main(void)
{
	is_int((int64_t)disk_count(100, 50, 100), 150, "empty room counts as free");
	is_int((int64_t)disk_count(13, 500, 100), 513, "also when little else is free");
	is_int((int64_t)disk_count(11, 500, 100), 11, "but not below an eighth of the minimum");
	is_int((int64_t)disk_count(0, 500, 0), 500, "no minimum, no eighth");
	return plan_done();
}
