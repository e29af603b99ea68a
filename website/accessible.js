/* What the theme's script makes of blocks of code and of tables, as a screen reader and a keyboard
   need it. */
const mend = () => {
  // The copy button of each block is put into a navigation, which is none, and has no name.
  for (const each of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    each.setAttribute("role", "none");
  }
  // A table that is wider than the page is scrolled; with the keyboard, once it has the focus.
  for (const each of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (each.scrollWidth > each.clientWidth) {
      each.tabIndex = 0;
    } else {
      each.removeAttribute("tabindex");
    }
  }
};
new MutationObserver(mend).observe(document.documentElement, { childList: true, subtree: true });
addEventListener("resize", mend);
addEventListener("load", mend);
