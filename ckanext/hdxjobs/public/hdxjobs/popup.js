/**
 * What is here?  A click, a tap or Enter on the focused map answers with the feature's
 * attributes.  Everything that comes from the data is set as text, never as HTML.
 */
const LONG_TEXT = 140;
const REACH_PX = { mouse: 3, touch: 12, keyboard: 14 };
const MOST_FEATURES = 20;
const KEY_FIELD = /^(name|title|label|nom|nombre|nome|naam)$/i;
const NAME_LIKE = /(name|title|label|_en|_fr|_es|_ar)$/i;
const MACHINE_FIELD =
  /^(fid|gid|id|objectid|ogc_fid|globalid|shape_?(leng|length|area)|st_?(length|area).*|tessellate|extrude|visibility|draworder)$/i;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Text of unknown direction: an Arabic name on an English page, an id on an Arabic one. */
function isolated(text) {
  return make('bdi', '', text);
}

function asText(value) {
  // 12 digits: more than any survey knows, and no trace of binary fractions.
  if (typeof value === 'number' && !Number.isInteger(value)) return String(Number(value.toPrecision(12)));
  return String(value);
}

function webAddress(text) {
  if (!/^https?:\/\/\S+$/i.test(text)) return null;
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

function shown(text, showAll) {
  const short = text.length > LONG_TEXT ? `${text.slice(0, LONG_TEXT).trimEnd()}…` : text;
  const address = webAddress(text);
  if (address) {
    const link = make('a');
    link.append(isolated(short));
    Object.assign(link, { href: address, rel: 'noopener noreferrer nofollow', target: '_blank' });
    return link;
  }
  if (short === text) return isolated(text);
  const details = make('details');
  const summary = make('summary');
  summary.append(isolated(short), ' ', make('span', 'hdxjobs-popup-more', showAll));
  const whole = make('p', '', text);
  whole.dir = 'auto';
  details.append(summary, whole);
  return details;
}

function importance(name) {
  if (KEY_FIELD.test(name)) return 0;
  if (NAME_LIKE.test(name)) return 1;
  return MACHINE_FIELD.test(name) ? 3 : 2;
}

/** [name, value] pairs that have a value, in the file's order but names first and machine ids last. */
function attributes(feature, layer) {
  const names = new Map((layer.fields ?? []).map(({ key, name }) => [key ?? name, name]));
  const keys = [...names.keys(), ...Object.keys(feature.properties).filter((key) => !names.has(key))];
  return keys
    .filter((key) => feature.properties[key] !== undefined && feature.properties[key] !== null)
    .map((key) => [names.get(key) ?? key, asText(feature.properties[key])])
    .map((pair, index) => ({ pair, index, rank: importance(pair[0]) }))
    .sort((one, other) => one.rank - other.rank || one.index - other.index)
    .map(({ pair }) => pair);
}

function table(pairs, text) {
  if (!pairs.length) return make('p', 'hdxjobs-popup-none', text.no_attributes);
  const element = make('table');
  const body = make('tbody');
  for (const [name, value] of pairs) {
    const row = make('tr');
    const head = make('th');
    head.scope = 'row';
    head.append(isolated(name));
    const cell = make('td');
    cell.append(shown(value, text.show_all));
    row.append(head, cell);
    body.append(row);
  }
  element.append(body);
  return element;
}

export class Inspector {
  /** `layers`: the settings' layers; `layerIds`: the style layers that draw them. */
  constructor(map, { Popup, layers, layerIds, sourceId, text }) {
    Object.assign(this, { map, Popup, layerIds, text });
    this.layers = new Map(layers.map((layer, index) => [sourceId(index), layer]));
    this.canvas = map.getCanvas();
    map.on('click', (event) => {
      const touch = event.originalEvent.pointerType === 'touch';
      this.inspect(event.point, event.lngLat, touch ? REACH_PX.touch : REACH_PX.mouse);
    });
    map.on('mousemove', (event) => {
      this.canvas.style.cursor = this.featuresAt(event.point, REACH_PX.mouse).length ? 'pointer' : '';
    });
    this.listenToKeys();
  }

  listenToKeys() {
    const container = this.map.getContainer();
    const cross = make('div', 'hdxjobs-map-cross');
    cross.setAttribute('aria-hidden', 'true');
    cross.hidden = true;
    container.append(cross);
    this.canvas.addEventListener('focus', () => {
      cross.hidden = !this.canvas.matches(':focus-visible');
    });
    this.canvas.addEventListener('blur', () => {
      cross.hidden = true;
    });
    this.canvas.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') {
        event.preventDefault();
        const centre = this.map.getCenter();
        this.inspect(this.map.project(centre), centre, REACH_PX.keyboard);
      }
    });
    container.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
  }

  /** The features within reach of a point, each once: points by distance, then the topmost first. */
  featuresAt(point, reach) {
    const box = [
      [point.x - reach, point.y - reach],
      [point.x + reach, point.y + reach],
    ];
    const seen = new Map();
    for (const feature of this.map.queryRenderedFeatures(box, { layers: this.layerIds })) {
      const key = `${feature.source}/${feature.id ?? JSON.stringify(feature.properties)}`;
      if (!seen.has(key)) seen.set(key, feature);
    }
    const away = new Map([...seen.values()].map((feature) => [feature, this.distance(feature, point)]));
    return [...away.keys()].sort((one, other) => away.get(one) - away.get(other)).slice(0, MOST_FEATURES);
  }

  /** Pixels from a point on the screen to a point feature; further than any of them for other shapes. */
  distance({ geometry }, point) {
    if (geometry.type !== 'Point') return Number.MAX_VALUE;
    const [longitude, latitude] = geometry.coordinates;
    // The feature's nearest copy, on a map that shows the world more than once.
    const turns = Math.round((this.map.unproject(point).lng - longitude) / 360);
    const spot = this.map.project([longitude + 360 * turns, latitude]);
    return Math.hypot(spot.x - point.x, spot.y - point.y);
  }

  inspect(point, lngLat, reach) {
    this.close();
    const features = this.featuresAt(point, reach);
    if (features.length) this.open(features, lngLat);
    else if (reach === REACH_PX.keyboard) this.say(this.text.nothing_here);
  }

  /** A short word at the cross, for those who asked by key and found nothing. */
  say(message) {
    const element = make('p', 'hdxjobs-popup-none', message);
    element.setAttribute('role', 'status');
    this.show(element, this.map.getCenter());
  }

  open(features, lngLat) {
    const content = make('div', 'hdxjobs-popup');
    content.tabIndex = -1;
    content.setAttribute('role', 'dialog');
    this.show(content, lngLat);
    this.fill(content, features, 0);
    this.keepInView();
    content.focus({ preventScroll: true });
  }

  show(content, lngLat) {
    const { clientWidth, clientHeight } = this.map.getContainer();
    content.style.maxHeight = `${Math.max(140, Math.min(340, clientHeight * 0.6))}px`;
    this.popup = new this.Popup({
      // Above or below, never beside: on a phone there is no room at the side.
      anchor: this.map.project(lngLat).y > clientHeight / 2 ? 'bottom' : 'top',
      closeOnClick: false,
      focusAfterOpen: false,
      maxWidth: `${Math.min(340, clientWidth - 24)}px`,
    });
    const popup = this.popup;
    popup.on('close', () => this.onClose(popup));
    popup.setLngLat(lngLat).setDOMContent(content).addTo(this.map);
  }

  fill(content, features, index) {
    const feature = features[index];
    const layer = this.layers.get(feature.source);
    const pairs = attributes(feature, layer);
    const titled = pairs.length > 0 && importance(pairs[0][0]) < 2;
    const heading = make('h3');
    heading.append(isolated(titled ? pairs[0][1].slice(0, LONG_TEXT) : layer.name));
    content.setAttribute('aria-label', heading.textContent);
    content.replaceChildren(heading);
    if (titled && this.layers.size > 1) content.append(this.layerLine(layer));
    if (features.length > 1) content.append(this.pager(content, features, index));
    content.append(table(pairs, this.text));
    content.scrollTop = 0;
    this.select(feature);
  }

  layerLine(layer) {
    const element = make('p', 'hdxjobs-popup-layer');
    element.append(isolated(layer.name));
    return element;
  }

  pager(content, features, index) {
    const element = make('p', 'hdxjobs-popup-pager');
    const count = this.text.n_of_n.replace('{number}', index + 1).replace('{count}', features.length);
    const next = make('button', '', this.text.next);
    next.type = 'button';
    next.addEventListener('click', () => {
      this.fill(content, features, (index + 1) % features.length);
      content.querySelector('.hdxjobs-popup-pager button').focus({ preventScroll: true });
    });
    element.append(make('span', '', count), ' ', next);
    return element;
  }

  /** Move the map by as much as the popup sticks out of it. */
  keepInView() {
    const frame = this.map.getContainer().getBoundingClientRect();
    const popup = this.popup.getElement().getBoundingClientRect();
    const margin = 8;
    const x = Math.min(0, popup.left - frame.left - margin) + Math.max(0, popup.right - frame.right + margin);
    const y = Math.min(0, popup.top - frame.top - margin) + Math.max(0, popup.bottom - frame.bottom + margin);
    if (x || y) this.map.panBy([x, y], { duration: 250 });
  }

  select(feature) {
    if (this.selected) this.map.removeFeatureState(this.selected, 'selected');
    this.selected = null;
    if (feature?.id === undefined) return;
    this.selected = { source: feature.source, sourceLayer: feature.sourceLayer, id: feature.id };
    this.map.setFeatureState(this.selected, { selected: true });
  }

  close() {
    const { popup } = this;
    if (!popup) return;
    const hadFocus = popup.getElement()?.contains(document.activeElement);
    popup.remove();
    if (hadFocus) this.canvas.focus({ preventScroll: true });
  }

  onClose(popup) {
    if (this.popup !== popup) return;
    this.popup = null;
    this.select(null);
    if (document.activeElement === document.body) this.canvas.focus({ preventScroll: true });
  }
}
