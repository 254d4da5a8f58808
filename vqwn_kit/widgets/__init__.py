"""widgets: arrays and callbacks -> interactive views for notebooks, operated by mouse or keyboard.

Enters: waveforms, codes, points (M, 2), texts; functions that return more of them on demand.
Leaves: widgets with traits, a static figure and a self-contained HTML page each; listening.csv.
May import: `evaluation.metrics` and `plots`. No model, run or corpus: `workbench` connects those.

    player.py, .js      tracks under one playhead; blind.py: blind tests in it
    explorer.py, .js    points on maps that play a sound; points.py: their colours and links
    code_page.py, .js   the page of a code: facts, a player, other codes, a recording to try
    monitor.py, .js     a training in a thread, with buttons and curves
    lab.py, .js         recordings -> other voices; strip.py, .js: editing codes; voices.py: takes
    base.py, common.js, style.css   what all widgets share; jobs.py: a job in a thread
    arrays.py, figures.py           arrays -> bytes for the browser; arrays -> static figures
    page.py             widgets and HTML -> one page without Jupyter
    `listen.py`         waveforms -> audio elements, without a widget

To add a widget: write NAME.py with a subclass of `Widget` that sets `_esm = module_of("NAME")` and
writes `figure`, and NAME.js, which defines `render` and ends with the line `EXPORT` of `page.py`.
"""
