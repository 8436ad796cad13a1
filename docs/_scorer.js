// A search for a name leads to its entry in the reference first, and among several entries
// to the one with the shortest name: `within.timeout` before `within.ProcessTimeout.timeout`.
//
// Sphinx scores a page by the best of the words that were looked for. A page with one of them
// in its title counts as much as one with all of them, or as one with the word in the title
// of a section. So each word in the title of the page counts here as well. Among pages that
// are equal by that, one that answers a question comes before one that mentions everything,
// and a shorter name, which is often the more general page, before a longer one.
var Scorer = {
  places: [
    [/^howto\/index/, -1], [/^howto\//, 4], [/^loops/, 5], [/^quickstart/, 6], [/^(windows|why)/, 2],
    [/^reference\//, 2], [/^migration/, -3], [/^semantics/, -7],
    [/^(changelog|architecture|benchmarks)/, -10],
  ],
  words: new Set(
    (new URLSearchParams(window.location.search).get("q") ?? "")
      .toLowerCase().split(/\W+/).filter((word) => word.length > 2),
  ),
  score: ([page, title, anchor, description, score, file, kind]) => {
    if (kind === "object") return score - title.split(".").length;
    const place = Scorer.places.find(([pattern]) => pattern.test(page));
    const words = title.toLowerCase().split(/\W+/);
    const found = [...Scorer.words].filter((word) => words.includes(word)).length;
    const section = title.includes(" > ") ? 3 : 0; // a page about it comes before that
    return score + (place ? place[1] : 0) + 3 * found - section - page.length / 1000;
  },
  objNameMatch: 60,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
