/**
 * The panel on the resource page while there is no map yet: asks how the preview is
 * getting on, shows the answer (HTML made by our own templates), and hands over to the map.
 */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5000;
/** While numbers change, they are worth a look more often. */
const LONGEST_WAIT_AT_WORK_MS = 2000;
const SLOWER = 1.4;
/** How often numbers are read out to those who do not see them. */
const SPOKEN_EVERY_MS = 20000;

function parse(html) {
  return new DOMParser().parseFromString(html, 'text/html').querySelector('[data-hdxjobs-status]');
}

class Panel {
  constructor(element, startMaps) {
    Object.assign(this, { element, startMaps });
    this.waitMs = FIRST_WAIT_MS;
    element.addEventListener('submit', (event) => this.onSubmit(event));
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.pending) this.ask();
    });
    this.settle();
  }

  get status() {
    return this.element.querySelector('[data-hdxjobs-status]');
  }

  /** Look at what is shown now: wait on, or be done. */
  settle() {
    clearTimeout(this.timer);
    this.pending = this.status.dataset.pending === 'true';
    if (this.pending && !document.hidden) this.timer = setTimeout(() => this.ask(), this.waitMs);
    const longest = this.status.dataset.state === 'running' ? LONGEST_WAIT_AT_WORK_MS : LONGEST_WAIT_MS;
    this.waitMs = Math.min(longest, this.waitMs * SLOWER);
  }

  async ask() {
    clearTimeout(this.timer);
    if (this.asking) return;
    this.asking = true;
    try {
      const response = await fetch(this.element.dataset.url, { headers: { 'X-Requested-With': 'fetch' }, cache: 'no-store' });
      if (response.status >= 400 && response.status < 500 && response.status !== 429) return this.stop();
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const fresh = parse(await response.text());
      if (!fresh) return this.stop();
      this.offline(false);
      this.show(fresh);
    } catch (error) {
      console.warn(error);
      this.offline(true);
    } finally {
      this.asking = false;
    }
    return this.settle();
  }

  /** The preview, or the right to see it, is gone: say so and leave the site in peace. */
  stop() {
    this.pending = false;
    this.offline(false);
    this.notice.textContent = this.element.dataset.gone;
    this.notice.hidden = false;
  }

  get notice() {
    return this.element.querySelector('[data-hdxjobs-offline]');
  }

  offline(yes) {
    this.notice.textContent = yes ? this.element.dataset.offline : '';
    this.notice.hidden = !yes;
  }

  show(fresh) {
    const old = this.status;
    if (fresh.dataset.state === 'ready') this.handOver(fresh);
    else if (fresh.dataset.kind === old.dataset.kind && fresh.dataset.pending === 'true') this.update(old, fresh);
    else old.replaceWith(document.importNode(fresh, true));
  }

  /** Change only what changed: a live region that is rewritten each second is read out each second. */
  update(old, fresh) {
    old.dataset.state = fresh.dataset.state;
    for (const part of ['sentence', 'detail', 'measure']) {
      const before = old.querySelector(`[data-hdxjobs-${part}]`);
      const after = fresh.querySelector(`[data-hdxjobs-${part}]`);
      if (before.textContent !== after.textContent) before.textContent = after.textContent;
    }
    const bar = old.querySelector('[data-hdxjobs-progress]');
    const now = fresh.querySelector('[data-hdxjobs-progress]');
    for (const name of ['value', 'aria-valuetext']) {
      if (now.hasAttribute(name)) bar.setAttribute(name, now.getAttribute(name));
      else bar.removeAttribute(name);
    }
    this.speak(old);
  }

  /** The measure changes each second: say it aloud now and then only. */
  speak(status) {
    const { textContent } = status.querySelector('[data-hdxjobs-measure]');
    const now = Date.now();
    this.spokenAt ??= now;
    if (!textContent || now - this.spokenAt < SPOKEN_EVERY_MS) return;
    this.spokenAt = now;
    status.querySelector('[data-hdxjobs-spoken]').textContent = textContent;
  }

  /** The map takes the panel's place; a map of the file's older version gives way to it. */
  handOver(fresh) {
    const ready = document.importNode(fresh, true);
    const older = [...document.querySelectorAll('[data-hdxjobs-preview]')].find((map) => !this.element.contains(map));
    this.status.replaceWith(ready);
    if (older) {
      older.querySelector('[data-hdxjobs-map]')?.hdxjobsMap?.remove();
      older.replaceWith(ready.querySelector('[data-hdxjobs-preview]'));
    }
    this.startMaps(document);
  }

  async onSubmit(event) {
    const form = event.target.closest('[data-hdxjobs-retry]');
    if (!form) return;
    event.preventDefault();
    form.querySelector('button').disabled = true;
    try {
      const response = await fetch(form.action, {
        method: 'POST',
        body: new FormData(form),
        headers: { 'X-Requested-With': 'fetch' },
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
    } catch (error) {
      console.warn(error);
      // The plain way: the browser posts the form and shows the answer, whatever it is.
      form.submit();
      return;
    }
    this.waitMs = FIRST_WAIT_MS;
    await this.ask();
  }
}

/** Keep a panel (templates/hdxjobs/panel.html) up to date; `startMaps(root)` draws what is ready. */
export function watchPanel(element, startMaps) {
  return new Panel(element, startMaps);
}
