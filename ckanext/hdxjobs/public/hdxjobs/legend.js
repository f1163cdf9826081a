/** The list of a file's layers, with a box to show and hide each. */

const SHAPE_NAMES = [
  ['point', /point/i],
  ['line', /line/i],
];

function swatch(layer, colour) {
  const element = document.createElement('span');
  const shape = SHAPE_NAMES.find(([, pattern]) => pattern.test(layer.geometry_type ?? ''));
  element.className = `hdxjobs-legend-swatch hdxjobs-legend-${shape ? shape[0] : 'area'}`;
  element.style.setProperty('--hdxjobs-colour', colour);
  element.setAttribute('aria-hidden', 'true');
  return element;
}

function row(layer, colour, onToggle) {
  const label = document.createElement('label');
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.checked = true;
  box.addEventListener('change', () => onToggle(box.checked));
  const name = document.createElement('bdi');
  name.className = 'hdxjobs-legend-name';
  name.textContent = layer.name;
  label.append(box, swatch(layer, colour), name);
  return label;
}

/**
 * A MapLibre control. `layers` are the settings' layers, `colours(index)` their colour,
 * `onToggle(index, visible)` is called when a box changes.
 */
export class Legend {
  constructor({ layers, title, colours, onToggle }) {
    Object.assign(this, { layers, title, colours, onToggle });
  }

  onAdd(map) {
    this.element = document.createElement('details');
    this.element.className = 'maplibregl-ctrl hdxjobs-legend';
    // On a phone the list would hide the map it explains.
    this.element.open = map.getContainer().clientWidth >= 560;
    const summary = document.createElement('summary');
    summary.textContent = this.title;
    const list = document.createElement('div');
    list.className = 'hdxjobs-legend-list';
    this.layers.forEach((layer, index) => {
      list.append(row(layer, this.colours(index), (visible) => this.onToggle(index, visible)));
    });
    this.element.append(summary, list);
    return this.element;
  }

  onRemove() {
    this.element.remove();
  }

  repaint() {
    this.element.querySelectorAll('.hdxjobs-legend-swatch').forEach((element, index) => {
      element.style.setProperty('--hdxjobs-colour', this.colours(index));
    });
  }
}
