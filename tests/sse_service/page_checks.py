"""What every page must be for everybody: named, readable, in order, not wider than the screen."""

from __future__ import annotations

from playwright.async_api import Page

__all__ = ["check"]

UNNAMED = """() => {
  const wanted = 'button, input, textarea, select, a[href], summary, img, dialog, nav, main, section, article, table, '
    + '[role=img], [role=region], [role=feed], [role=listbox], [role=option], [role=progressbar], [role=group]'
  const visible = element => element.checkVisibility({ visibilityProperty: true })
  const name = element => {
    const by = element.getAttribute('aria-labelledby')
    if (by) return by.split(' ').map(id => document.getElementById(id)?.textContent ?? '').join('')
    if (element.hasAttribute('aria-label')) return element.getAttribute('aria-label')
    if (element.tagName === 'IMG') return element.alt
    if (element.tagName === 'TABLE') return element.caption?.textContent ?? ''
    if (element.labels?.length) return element.labels[0].textContent
    return element.textContent
  }
  return [...document.querySelectorAll(wanted)]
    .filter(element => visible(element) && !element.closest('[aria-hidden=true]'))
    .filter(element => !name(element).trim())
    .map(element => element.outerHTML.slice(0, 120))
}"""

# WCAG 2.2, 1.4.3: 4.5 to 1 for text, 3 to 1 for large text; the nearest opaque ground counts; what is disabled is
# exempt.
POOR_CONTRAST = """() => {
  const parse = color => (color.match(/[\\d.]+/g) ?? []).map(Number)
  const part = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  const luminance = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
    return [255, 255, 255]
  }
  const poor = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const { parentElement: element, data } = walker.currentNode
    if (!data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue
    if (element.closest('.hidden, script, noscript, option, title, :disabled, label:has(:disabled)')) continue
    const style = getComputedStyle(element)
    const [a, b] = [luminance(parse(style.color)), luminance(ground(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700)
    if (ratio < (isLarge ? 3 : 4.5)) poor.push([data.trim().slice(0, 40), ratio.toFixed(2), element.className])
  }
  return poor
}"""

STRUCTURE = """() => ({
  twice: [...document.querySelectorAll('[id]')].map(e => e.id).filter((id, at, all) => all.indexOf(id) !== at),
  lost: [...document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls], [for]')]
    .flatMap(e => ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for']
      .flatMap(a => (e.getAttribute(a) ?? '').split(' ')))
    .filter(id => id && !document.getElementById(id)),
  lang: document.documentElement.lang,
  tabindex: [...document.querySelectorAll('[tabindex]')].filter(e => e.tabIndex > 0).length,
  uncaptioned: [...document.querySelectorAll('table')].filter(e => !e.caption?.textContent).length,
  unheaded: [...document.querySelectorAll('th')].filter(e => !e.scope).length,
  leaps: [...document.querySelectorAll('h1, h2, h3, h4')].filter(e => e.checkVisibility())
    .map(e => Number(e.tagName[1])).filter((level, at, all) => at && level > all[at - 1] + 1).length,
})"""

SOUND = {"twice": [], "lost": [], "lang": "en", "tabindex": 0, "uncaptioned": 0, "unheaded": 0, "leaps": 0}

# What has no value is said in words or left out; never so.
LEAKED = """() => document.body.innerText.match(/undefined|NaN|\\[object|Infinity|\\{\\w+\\}/g) ?? []"""


async def check(page: Page) -> None:
    """Raises AssertionError, with what is wrong."""
    assert await page.evaluate(UNNAMED) == []
    assert await page.evaluate(POOR_CONTRAST) == []
    assert await page.evaluate(STRUCTURE) == SOUND
    assert await page.evaluate(LEAKED) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
