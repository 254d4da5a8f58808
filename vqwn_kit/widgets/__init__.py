"""What is shown and played in a notebook: arrays and callbacks -> widgets that work by keyboard.

A widget is one .py and one .js; `common.js` and `style.css`, which all share, are joined in front.
None of them knows a model: `vqwn_kit.workbench.explorers` joins a run to them.
"""
