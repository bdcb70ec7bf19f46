// Orphans as the target takes them (MIR-50..60).
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "receiver_support.h"
#include "rules.h"

namespace understudy::test {
namespace {

using wire::OpKind;

Op orphan_op(std::string_view path) { return Op(OpKind::orphan, path); }
Op end_op() { return Op(OpKind::orphan).args(1); }

bool there(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

TEST("MIR-53: without the administrator's wish an orphan stays, whatever the source says") {
  Link link;
  link.open();
  link.must({file_op("f", "x"), mkdir_op("d"), file_op("d/g", "x")});
  link.must({orphan_op("f"), orphan_op("d"), end_op()});
  CHECK(there(link / "f") && there(link / "d/g"));
  CHECK(link.reports().empty());
}

TEST("MIR-54, MIR-57, MIR-59, I5: deleted as a tree, without what is to be kept, and never through a link") {
  Link link;
  link.options.orphans.action = OrphanOptions::Action::remove;
  link.open();
  const std::string outside = link.scratch / "outside";
  CHECK_EQUAL(::mkdir(outside.c_str(), 0700), 0);
  std::ofstream(outside + "/precious") << "x";
  link.must({mkdir_op("d"), file_op("d/g", "12345"), file_op("d/h.keep", "x"), file_op("f", "123")});
  CHECK_EQUAL(::symlink(outside.c_str(), (link / "d/link").c_str()), 0);
  link.must({orphan_op("d").text(std::string_view("*.keep\0", 7)), orphan_op("f"), orphan_op("d/gone/too"), end_op()});
  CHECK(there(link / "d/h.keep") && !there(link / "d/g") && !there(link / "d/link") && !there(link / "f"));
  CHECK(there(outside + "/precious"));
  link.wait_report("orphans_done deleted 3 0 8 1 0 0");
  link.must({orphan_op("d"), end_op()});
  CHECK(!there(link / "d"));
  link.wait_report("orphans_done deleted 1 1 1 0 0 0");
}

TEST("MIR-55, MIR-56: the young stay, a preview touches nothing, a setting counts from the next orphan on") {
  Link link;
  link.options.orphans.action = OrphanOptions::Action::remove;
  link.options.orphans.age_ms = 60'000;
  link.open();
  link.must({file_op("old", "x"), file_op("young", "x")});
  const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  CHECK_EQUAL(::utimensat(AT_FDCWD, (link / "young").c_str(), now, 0), 0);
  link.must({orphan_op("old").flags(wire::kOpPreview), end_op().flags(wire::kOpPreview)});
  CHECK(there(link / "old"));
  link.wait_report("orphans_done found 1 0 1 0 0 0");
  link.must({orphan_op("old"), orphan_op("young"), end_op()});
  CHECK(!there(link / "old") && there(link / "young"));
  link.receiver->set_orphans({OrphanOptions::Action::remove, false, 0, ""});
  link.must({orphan_op("young"), end_op()});
  CHECK(!there(link / "young"));
}

TEST("MIR-54, MIR-58: moved beneath the whole path, with a number when the name is taken") {
  Link link;
  link.options.orphans.action = OrphanOptions::Action::move;
  link.options.orphans.folder = link.scratch / "moved";
  link.open();
  for (const char* text : {"one", "two"}) link.must({file_op("f", text), orphan_op("f"), end_op()});
  const std::string moved = link.options.orphans.folder + (link / "f");
  CHECK(there(moved) && there(moved + ".1") && !there(link / "f"));
  std::string text;
  std::ifstream(moved + ".1") >> text;
  CHECK_EQUAL(text, "two");
}

TEST("I5: a folder for orphans that was replaced by a link is not followed") {
  Link link;
  link.options.orphans.action = OrphanOptions::Action::move;
  link.options.orphans.folder = link.scratch / "moved";
  link.open();
  CHECK_EQUAL(::mkdir(link.options.orphans.folder.c_str(), 0700), 0);
  const std::string first = (link / "f").substr(1, (link / "f").find('/', 1) - 1);
  CHECK_EQUAL(::symlink("/", (link.options.orphans.folder + "/" + first).c_str()), 0);
  link.must({file_op("f", "x"), orphan_op("f"), end_op()});
  CHECK(there(link / "f"));
  link.wait_report("orphan_not_removed " + (link / "f"));
}

TEST("MIR-59: excluded names are kept, names that no include takes in are not") {
  const Rules rules({{"/s", "", true, true}, {"/s", "*.keep", false, true}, {"/s/out", "", false, true}});
  CHECK(rules.keeps_orphan("/s/d/x.keep", false) && rules.keeps_orphan("/s/out/f", false));
  CHECK(!rules.keeps_orphan("/s/d/x", false));
  CHECK_EQUAL(rules.kept_below("/s/d").size(), 1u);
  CHECK_EQUAL(rules.kept_below("/s").size(), 2u);
  const Rules wild({{"/s", "*.db", true, true}});
  CHECK(!wild.keeps_orphan("/s/other", false) && !wild.keeps_orphan("/s/a.db", false));
}

}  // namespace
}  // namespace understudy::test

TEST_MAIN
