package qupath.ext.djl

import java.nio.FloatBuffer

import ai.djl.Device
import ai.djl.Model
import ai.djl.inference.Predictor
import ai.djl.ndarray.NDList
import ai.djl.ndarray.NDManager
import ai.djl.ndarray.types.Shape
import ai.djl.translate.NoopTranslator
import groovy.transform.CompileStatic
import groovy.transform.PackageScope
import org.bytedeco.opencv.opencv_core.Mat
import qupath.opencv.dnn.DnnModel
import qupath.opencv.dnn.DnnModelParams

/** The weights on libtorch, by DJL. */
@CompileStatic
class DjlDnnModelBuilder {
    static final List<String> calls = [].asSynchronized() as List<String>

    DnnModel buildModel(DnnModelParams parameters) {
        return new DjlDnnModel(parameters.files[0])
    }
}

@CompileStatic
@PackageScope
class DjlDnnModel implements DnnModel {
    private final Model model = Model.newInstance("package", Device.cpu(), "PyTorch")
    private final Predictor<NDList, NDList> predictor

    DjlDnnModel(File weights) {
        model.load(weights.getParentFile().toPath(), weights.getName())
        predictor = model.newPredictor(new NoopTranslator())
    }

    @Override
    Map<String, Mat> predict(Map<String, Mat> blobs) {
        return ["output": predict(blobs["input"])]
    }

    @Override
    synchronized Mat predict(Mat mat) {
        NDManager manager = model.getNDManager().newSubManager()
        try {
            NDList found = predictor.predict(
                new NDList(manager.create(FloatBuffer.wrap(mat.values), new Shape(1, 1, mat.rows, mat.cols))))
            found.attach(manager)
            return new Mat(rows: mat.rows, cols: mat.cols, values: found.get(0).toFloatArray())
        } finally {
            manager.close()
        }
    }

    @Override
    void close() {
        model.close()
    }
}
